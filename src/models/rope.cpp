#include "models/rope.hpp"

#include <algorithm>
#include <cmath>

namespace stella::models {
namespace {

/// Longest input that the models are offered for; Stella Large's config.json allows 131,072 positions.
constexpr std::size_t kTablePositions = 8192;

}  // namespace

std::vector<float> rope_frequencies(double theta, double ntk_factor, std::size_t head_dim) {
  const auto base = static_cast<double>(static_cast<float>(theta * ntk_factor));
  const auto divisor = static_cast<float>(std::pow(ntk_factor, 2.0 / static_cast<double>(head_dim)));
  std::vector<float> frequencies(head_dim / 2);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const auto power = static_cast<float>(std::pow(base, static_cast<double>(exponent)));
    frequencies[i] = 1.0F / power / divisor;
  }
  return frequencies;
}

RopeAngles rope_angles(const std::vector<float>& frequencies, std::size_t positions) {
  RopeAngles angles;
  angles.cos.reserve(positions * frequencies.size());
  angles.sin.reserve(positions * frequencies.size());
  for (std::size_t position = 0; position < positions; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;  // rounded to f32, as PyTorch's outer product is
      angles.cos.push_back(static_cast<float>(std::cos(static_cast<double>(angle))));
      angles.sin.push_back(static_cast<float>(std::sin(static_cast<double>(angle))));
    }
  }
  return angles;
}

Rope::Rope(const weights::EncoderSpec& spec)
    : frequencies_(rope_frequencies(spec.rope_theta, spec.rope_ntk_factor, spec.head_dim)),
      positions_(std::min(spec.max_positions, kTablePositions)),
      angles_(rope_angles(frequencies_, positions_)) {}

std::size_t Rope::max_bytes(const weights::EncoderSpec& spec) noexcept {
  return std::min(spec.max_positions, kTablePositions) * spec.head_dim * sizeof(float);
}

kernels::RopeTable Rope::table(std::size_t longest, Activations& scratch) const {
  if (longest <= positions_) return {angles_.cos.data(), angles_.sin.data()};
  RopeAngles angles = rope_angles(frequencies_, longest);
  scratch.long_cos = std::move(angles.cos);
  scratch.long_sin = std::move(angles.sin);
  return {scratch.long_cos.data(), scratch.long_sin.data()};
}

}  // namespace stella::models
