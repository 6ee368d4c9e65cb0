// Rotary position angles as the published models compute them.
#pragma once

#include "models/encoder_types.hpp"

#include <cstddef>
#include <vector>

namespace stella::models {

/// (head_dim / 2) inverse frequencies in f32, rounded where the PyTorch models round:
/// 1 / (theta · factor)^(2i / head_dim), then divided by factor^(2 / head_dim); factor 1 without NTK scaling.
std::vector<float> rope_frequencies(double theta, double ntk_factor, std::size_t head_dim);

/// cos and sin for positions [0, positions).
struct RopeAngles {
  std::vector<float> cos;  // (positions, head_dim / 2)
  std::vector<float> sin;  // (positions, head_dim / 2)
};
RopeAngles rope_angles(const std::vector<float>& frequencies, std::size_t positions);

/// The angles of one model. Const after construction.
class Rope {
 public:
  explicit Rope(const weights::EncoderSpec& spec);

  /// Angles for a pass whose longest sequence has `longest` tokens: the model's own table, or, for inputs longer than
  /// any that the models were made for, one computed into `scratch`.
  kernels::RopeTable table(std::size_t longest, Activations& scratch) const;
  /// Of the table of such a model, at the most.
  static std::size_t max_bytes(const weights::EncoderSpec& spec) noexcept;
  std::size_t bytes() const noexcept { return 2 * angles_.cos.size() * sizeof(float); }

 private:
  std::vector<float> frequencies_;  // (head_dim / 2)
  std::size_t positions_;
  RopeAngles angles_;
};

}  // namespace stella::models
