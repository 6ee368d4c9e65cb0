// "qwen2": Stella Large and other encoders made from Qwen2.
#pragma once

#include "models/pass.hpp"
#include "models/rope.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace stella::models {

struct Qwen2Layer {
  std::vector<float> attention_norm;  // (hidden)
  Linear qkv;                         // ((heads + 2 · kv_heads) · head_dim, hidden)
  Linear out;                         // (hidden, heads · head_dim)
  std::vector<float> mlp_norm;        // (hidden)
  Linear up;                          // up and gate interleaved, (2 · intermediate, hidden)
  Linear down;                        // (hidden, intermediate)
};

struct Qwen2Weights {
  Table words;  // (vocab, hidden)
  std::vector<Qwen2Layer> layers;
  std::vector<float> final_norm;  // (hidden)
};

/// x = x + attention(norm(x)); x = x + mlp(norm(x)); then a last norm. Attention looks in both directions: that is how
/// Stella Large was trained, whatever its config.json says about is_causal.
class Qwen2Encoder final : public Encoder {
 public:
  Qwen2Encoder(const weights::EncoderSpec& spec, const kernels::Kernels& kernels, Qwen2Weights weights,
               std::size_t weight_bytes);

  void forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch) const override;
  std::size_t hidden() const noexcept override { return spec_.hidden; }
  std::size_t weight_bytes() const noexcept override { return weight_bytes_ + rope_.bytes(); }

 private:
  void rms_norm(const Pass& pass, const std::vector<float>& gain, const float* x, std::size_t m, float* y) const;

  weights::EncoderSpec spec_;
  const kernels::Kernels& kernels_;
  Qwen2Weights weights_;
  Rope rope_;
  std::size_t weight_bytes_;
};

/// Tensors as in Hugging Face's Qwen2Model.
std::unique_ptr<const Encoder> make_qwen2(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                          const LoadContext& context);

}  // namespace stella::models
