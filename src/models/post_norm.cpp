#include "models/post_norm.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace stella::models {

PostNormEncoder::PostNormEncoder(const weights::EncoderSpec& spec, const kernels::Kernels& kernels,
                                 kernels::Epilogue activation, PostNormWeights weights, std::size_t weight_bytes)
    : spec_(spec),
      kernels_(kernels),
      activation_(activation),
      weights_(std::move(weights)),
      weight_bytes_(weight_bytes) {
  if (weights_.positions.empty()) rope_.emplace(spec);
}

std::size_t PostNormEncoder::weight_bytes() const noexcept {
  return weight_bytes_ + (rope_ ? rope_->bytes() : 0);
}

void PostNormEncoder::embed(const Pass& pass, const PackedBatch& batch, float* x) const {
  const std::size_t hidden = spec_.hidden;
  const float* type_row = weights_.type_row.empty() ? nullptr : weights_.type_row.data();
  kernels::embed_rows(kernels_, weights_.words.rows, batch.ids, type_row, x, pass.team);
  if (!weights_.positions.empty()) {
    pass.team.run(batch.sequences(), [&](std::size_t s, std::size_t) {
      const auto first = static_cast<std::size_t>(batch.offsets[s]);
      const auto tokens = static_cast<std::size_t>(batch.offsets[s + 1]) - first;
      for (std::size_t i = 0; i < tokens * hidden; ++i) x[first * hidden + i] += weights_.positions[i];
    });
  }
  layer_norm(pass, weights_.embedding_norm, spec_.norm_eps, batch.ids.size(), x);
}

void PostNormEncoder::forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch) const {
  const std::size_t longest = check_batch(batch, spec_.vocab_size);
  if (!rope_ && longest > spec_.max_positions) {
    throw Error(Errc::invalid_argument, "a sequence has " + std::to_string(longest) + " tokens; this model has " +
                                            std::to_string(spec_.max_positions) + " positions");
  }
  const std::size_t tokens = batch.ids.size();
  const std::size_t hidden = spec_.hidden;
  const std::size_t step = feed_forward_rows(tokens);
  // The feed-forward rows lie where q, k and v were: they are never needed at the same time.
  const auto parts =
      carve(scratch, {tokens * hidden, tokens * hidden, std::max(tokens * 3 * hidden, step * spec_.intermediate)});
  float* const x = parts[0];         // (tokens, hidden)
  float* const attended = parts[1];  // (tokens, hidden)
  float* const qkv = parts[2];       // (tokens, 3 · hidden), then (step, intermediate)
  const Pass pass{kernels_, team, scratch.workspace};

  kernels::AttentionArgs attention;
  attention.qkv = qkv;
  attention.offsets = batch.offsets;
  attention.heads = spec_.heads;
  attention.kv_heads = spec_.kv_heads;
  attention.head_dim = spec_.head_dim;
  if (rope_) attention.rope = rope_->table(longest, scratch);
  attention.out = attended;

  embed(pass, batch, x);
  for (const PostNormLayer& layer : weights_.layers) {
    apply(pass, layer.qkv, x, tokens, qkv);
    kernels::attention(kernels_, attention, team, scratch.workspace);
    apply(pass, layer.out, attended, tokens, x, kernels::Epilogue::none, x);
    layer_norm(pass, layer.attention_norm, spec_.norm_eps, tokens, x);
    for (std::size_t row = 0; row < tokens; row += step) {
      const std::size_t rows = std::min(step, tokens - row);
      float* const some = x + row * hidden;  // (rows, hidden)
      apply(pass, layer.up, some, rows, qkv, activation_);
      apply(pass, layer.down, qkv, rows, some, kernels::Epilogue::none, some);
    }
    layer_norm(pass, layer.mlp_norm, spec_.norm_eps, tokens, x);
  }
  kernels::mean_pool(kernels_, x, hidden, batch.offsets, pooled, team);
}

}  // namespace stella::models
