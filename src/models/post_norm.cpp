#include "models/post_norm.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace stella::models {

PostNorm::PostNorm(const weights::EncoderSpec& spec, const kernels::Kernels& kernels, kernels::Epilogue activation,
                   PostNormEnds ends)
    : spec_(spec), kernels_(kernels), activation_(activation), ends_(std::move(ends)) {
  if (ends_.positions.empty()) rope_.emplace(spec);
}

void PostNorm::embed(const State& state) const {
  const std::size_t hidden = spec_.hidden;
  const PackedBatch& batch = state.batch;
  float* const x = state.x;
  const float* type_row = ends_.type_row.empty() ? nullptr : ends_.type_row.data();
  kernels::embed_rows(kernels_, ends_.words.rows, batch.ids, type_row, x, state.pass.team);
  if (!ends_.positions.empty()) {
    state.pass.team.run(batch.sequences(), [&](std::size_t s, std::size_t) {
      const auto first = static_cast<std::size_t>(batch.offsets[s]);
      const auto tokens = static_cast<std::size_t>(batch.offsets[s + 1]) - first;
      for (std::size_t i = 0; i < tokens * hidden; ++i) x[first * hidden + i] += ends_.positions[i];
    });
  }
  layer_norm(state.pass, ends_.embedding_norm, spec_.norm_eps, batch.ids.size(), x);
}

PostNorm::State PostNorm::start(const PackedBatch& batch, const PassResources& resources) const {
  const std::size_t longest = check_batch(batch, spec_.vocab_size);
  if (!rope_ && longest > spec_.max_positions) {
    throw Error(Errc::invalid_argument, "a sequence has " + std::to_string(longest) + " tokens; this model has " +
                                            std::to_string(spec_.max_positions) + " positions");
  }
  const std::size_t tokens = batch.ids.size();
  const std::size_t hidden = spec_.hidden;
  const std::size_t step = feed_forward_rows(tokens);
  // The feed-forward rows lie where q, k and v were: they are never needed at the same time.
  const auto parts = carve(
      resources.scratch, {tokens * hidden, tokens * hidden, std::max(tokens * 3 * hidden, step * spec_.intermediate)});
  const kernels::RopeTable rope = rope_ ? rope_->table(longest, resources.scratch) : kernels::RopeTable{};
  State state{batch,
              make_pass(kernels_, resources),
              attention_args(spec_, batch, resources.precision, rope, parts[2], parts[1]),
              step,
              parts[0],
              parts[1],
              parts[2]};
  embed(state);
  return state;
}

void PostNorm::run(const Layer& layer, State& state) const {
  const Pass& pass = state.pass;
  const std::size_t tokens = state.batch.ids.size();
  float* const x = state.x;
  apply(pass, layer.qkv, x, tokens, state.qkv);
  kernels::attention(kernels_, state.attention, pass.team, pass.workspace);
  apply(pass, layer.out, state.attended, tokens, x, kernels::Epilogue::none, x);
  layer_norm(pass, layer.attention_norm, spec_.norm_eps, tokens, x);
  for (std::size_t row = 0; row < tokens; row += state.step) {
    const std::size_t rows = std::min(state.step, tokens - row);
    float* const some = x + row * spec_.hidden;  // (rows, hidden)
    apply(pass, layer.up, some, rows, state.qkv, activation_);
    apply(pass, layer.down, state.qkv, rows, some, kernels::Epilogue::none, some);
  }
  layer_norm(pass, layer.mlp_norm, spec_.norm_eps, tokens, x);
}

void PostNorm::finish(State& state, float* pooled) const {
  kernels::mean_pool(kernels_, state.x, spec_.hidden, state.batch.offsets, pooled, state.pass.team);
}

}  // namespace stella::models
