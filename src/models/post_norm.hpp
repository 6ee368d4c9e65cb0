// Encoders that normalise after each residual sum: "new" (Stella Small and other GTE v1.5 relatives) and "bert".
#pragma once

#include "models/pass.hpp"
#include "models/rope.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace stella::models {

struct PostNormLayer {
  Linear qkv;  // (3 · hidden, hidden)
  Linear out;  // (hidden, hidden)
  Norm attention_norm;
  Linear up;    // (intermediate, hidden), or up and gate interleaved, (2 · intermediate, hidden)
  Linear down;  // (hidden, intermediate)
  Norm mlp_norm;
};

/// What comes before the layers.
struct PostNormEnds {
  Table words;                   // (vocab, hidden)
  std::vector<float> type_row;   // (hidden): token type 0, added to every token; empty without token types
  std::vector<float> positions;  // (max_positions, hidden) for absolute positions, else empty
  Norm embedding_norm;
};

/// x = norm(x + attention(x)); x = norm(x + mlp(x)). A Net of LayeredEncoder.
class PostNorm {
 public:
  using Layer = PostNormLayer;
  struct State {
    const PackedBatch& batch;
    Pass pass;
    kernels::AttentionArgs attention;
    std::size_t step;  // rows of a feed-forward step
    float* x;          // (tokens, hidden)
    float* attended;   // (tokens, hidden)
    float* qkv;        // (tokens, 3 · hidden), then (step, intermediate)
  };

  PostNorm(const weights::EncoderSpec& spec, const kernels::Kernels& kernels, kernels::Epilogue activation,
           PostNormEnds ends);

  State start(const PackedBatch& batch, const PassResources& resources) const;
  void run(const Layer& layer, State& state) const;
  void finish(State& state, float* pooled) const;
  const weights::EncoderSpec& spec() const noexcept { return spec_; }
  std::size_t bytes() const noexcept { return rope_ ? rope_->bytes() : 0; }

 private:
  void embed(const State& state) const;

  weights::EncoderSpec spec_;
  const kernels::Kernels& kernels_;
  kernels::Epilogue activation_;
  PostNormEnds ends_;
  std::optional<Rope> rope_;
};

}  // namespace stella::models
