#include "models/pass.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace stella::models {
namespace {

constexpr std::size_t kLineFloats = 16;  // 64 bytes
constexpr std::size_t kFeedForwardRows = 1024;

std::size_t round_to_line(std::size_t floats) noexcept {
  return (floats + kLineFloats - 1) / kLineFloats * kLineFloats;
}

}  // namespace

Pass make_pass(const kernels::Kernels& kernels, const PassResources& resources) {
  return {kernels,          resources.team,          resources.scratch.workspace, resources.precision,
          resources.maxima, resources.before_product};
}

kernels::AttentionArgs attention_args(const weights::EncoderSpec& spec, const PackedBatch& batch, Precision precision,
                                      kernels::RopeTable rope, const float* qkv, float* out) {
  kernels::AttentionArgs args;
  args.qkv = qkv;
  args.offsets = batch.offsets;
  args.heads = spec.heads;
  args.kv_heads = spec.kv_heads;
  args.head_dim = spec.head_dim;
  args.precision = precision;
  args.rope = rope;
  args.out = out;
  return args;
}

std::size_t check_batch(const PackedBatch& batch, std::size_t vocab_size) {
  const auto offsets = batch.offsets;
  if (offsets.size() < 2 || offsets.front() != 0 || static_cast<std::size_t>(offsets.back()) != batch.ids.size()) {
    throw Error(Errc::invalid_argument, "a packed batch needs offsets from 0 to its number of tokens");
  }
  std::int32_t longest = 0;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    if (offsets[s + 1] <= offsets[s]) {
      throw Error(Errc::invalid_argument, "sequence " + std::to_string(s) + " of a packed batch has no tokens");
    }
    longest = std::max(longest, offsets[s + 1] - offsets[s]);
  }
  for (const std::int32_t id : batch.ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= vocab_size) {
      throw Error(Errc::invalid_argument, "token id " + std::to_string(id) + " is outside the model's vocabulary of " +
                                              std::to_string(vocab_size) +
                                              "; tokenizer.json and the weights do not belong together");
    }
  }
  return static_cast<std::size_t>(longest);
}

std::vector<float*> carve(Activations& scratch, std::initializer_list<std::size_t> sizes) {
  std::size_t total = 0;
  for (const std::size_t size : sizes) total += round_to_line(size);
  if (scratch.buffer.size() < total * sizeof(float)) {
    scratch.buffer = {};  // nothing in it is worth copying
    scratch.buffer = kernels::AlignedBuffer(total * sizeof(float));
  }
  auto* at = reinterpret_cast<float*>(scratch.buffer.data());
  std::vector<float*> parts;
  for (const std::size_t size : sizes) {
    parts.push_back(at);
    at += round_to_line(size);
  }
  return parts;
}

void apply(const Pass& pass, const Linear& linear, const float* x, std::size_t m, float* y, kernels::Epilogue epilogue,
           const float* residual) {
  if (pass.before_product != nullptr) (*pass.before_product)();
  if (pass.maxima != nullptr) pass.maxima->see(linear.name, x, m, linear.weight.k());
  kernels::MatmulArgs args;
  args.x = x;
  args.m = m;
  args.w = &linear.weight;
  args.bias = linear.bias.empty() ? nullptr : linear.bias.data();
  args.residual = residual;
  args.y = y;
  args.epilogue = epilogue;
  kernels::matmul(pass.kernels, args, pass.team, pass.workspace);
}

std::size_t feed_forward_rows(std::size_t tokens) noexcept {
  const std::size_t steps = (tokens + kFeedForwardRows - 1) / kFeedForwardRows;
  return steps == 0 ? 0 : (tokens + steps - 1) / steps;
}

void layer_norm(const Pass& pass, const Norm& norm, float eps, std::size_t m, float* x) {
  kernels::layer_norm(pass.kernels, x, m, norm.gain.size(), norm.gain.data(), norm.shift.data(), eps, x, pass.team);
}

}  // namespace stella::models
