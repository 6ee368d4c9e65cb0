// "qwen2": Stella Large and other encoders made from Qwen2.
#pragma once

#include "models/pass.hpp"
#include "models/rope.hpp"

#include <cstddef>
#include <memory>
#include <span>
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

/// What comes before and after the layers.
struct Qwen2Ends {
  Table words;                    // (vocab, hidden)
  std::vector<float> final_norm;  // (hidden)
};

/// x = x + attention(norm(x)); x = x + mlp(norm(x)); then a last norm. Attention looks in both directions: that is how
/// Stella Large was trained, whatever its config.json says about is_causal. A Net of LayeredEncoder.
class Qwen2 {
 public:
  using Layer = Qwen2Layer;
  struct State {
    const PackedBatch& batch;
    Pass pass;
    kernels::AttentionArgs attention;
    std::size_t step;  // rows of a feed-forward step
    float* x;          // (tokens, hidden)
    float* y;          // (tokens, hidden) or (tokens, heads · head_dim)
    float* qkv;        // (tokens, (heads + 2 · kv_heads) · head_dim), then (step, intermediate)
  };

  Qwen2(const weights::EncoderSpec& spec, const kernels::Kernels& kernels, Qwen2Ends ends);

  State start(const PackedBatch& batch, const PassResources& resources) const;
  void run(const Layer& layer, State& state) const;
  void finish(State& state, float* pooled) const;
  const weights::EncoderSpec& spec() const noexcept { return spec_; }
  std::size_t bytes() const noexcept { return rope_.bytes(); }

 private:
  void rms_norm(const Pass& pass, const std::vector<float>& gain, const float* x, std::size_t m, float* y) const;

  weights::EncoderSpec spec_;
  const kernels::Kernels& kernels_;
  Qwen2Ends ends_;
  Rope rope_;
};

}  // namespace stella::models
