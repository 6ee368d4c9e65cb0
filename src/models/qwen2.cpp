#include "models/qwen2.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace stella::models {
namespace {

Qwen2Weights load(Loader& loader, const weights::EncoderSpec& spec) {
  const std::size_t h = spec.hidden;
  const std::size_t q = spec.heads * spec.head_dim;
  const std::size_t kv = spec.kv_heads * spec.head_dim;
  Qwen2Weights weights;
  weights.words = loader.table("embed_tokens.weight", spec.vocab_size, h);
  for (std::size_t i = 0; i < spec.layers; ++i) {
    const std::string at = "layers." + std::to_string(i) + ".";
    const std::string attention = at + "self_attn.";
    Qwen2Layer layer;
    layer.attention_norm = loader.vector(at + "input_layernorm.weight", h);
    layer.qkv.weight = loader.matrix(
        {{attention + "q_proj.weight", q}, {attention + "k_proj.weight", kv}, {attention + "v_proj.weight", kv}}, h);
    layer.qkv.bias = loader.vector(
        {{attention + "q_proj.bias", q}, {attention + "k_proj.bias", kv}, {attention + "v_proj.bias", kv}});
    layer.out.weight = loader.matrix({{attention + "o_proj.weight", h}}, q);
    layer.mlp_norm = loader.vector(at + "post_attention_layernorm.weight", h);
    layer.up.weight = loader.matrix(
        {{at + "mlp.up_proj.weight", spec.intermediate}, {at + "mlp.gate_proj.weight", spec.intermediate}}, h,
        kernels::RowOrder::interleaved);
    layer.down.weight = loader.matrix({{at + "mlp.down_proj.weight", h}}, spec.intermediate);
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = loader.vector("norm.weight", h);
  return weights;
}

}  // namespace

Qwen2Encoder::Qwen2Encoder(const weights::EncoderSpec& spec, const kernels::Kernels& kernels, Qwen2Weights weights,
                           std::size_t weight_bytes)
    : spec_(spec), kernels_(kernels), weights_(std::move(weights)), rope_(spec), weight_bytes_(weight_bytes) {}

void Qwen2Encoder::rms_norm(const Pass& pass, const std::vector<float>& gain, const float* x, std::size_t m,
                            float* y) const {
  kernels::rms_norm(kernels_, x, m, spec_.hidden, gain.data(), spec_.norm_eps, y, pass.team);
}

void Qwen2Encoder::forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch) const {
  const std::size_t longest = check_batch(batch, spec_.vocab_size);
  const std::size_t tokens = batch.ids.size();
  const std::size_t hidden = spec_.hidden;
  const std::size_t q = spec_.heads * spec_.head_dim;
  const std::size_t qkv_width = q + 2 * spec_.kv_heads * spec_.head_dim;
  const std::size_t step = feed_forward_rows(tokens);
  // The normalised rows and the attended ones share a place, as do q, k, v and the feed-forward rows.
  const auto parts = carve(scratch, {tokens * hidden, tokens * std::max(hidden, q),
                                     std::max(tokens * qkv_width, step * spec_.intermediate)});
  float* const x = parts[0];    // (tokens, hidden)
  float* const y = parts[1];    // (tokens, hidden) or (tokens, heads · head_dim)
  float* const qkv = parts[2];  // (tokens, qkv_width), then (step, intermediate)
  const Pass pass{kernels_, team, scratch.workspace};

  kernels::AttentionArgs attention;
  attention.qkv = qkv;
  attention.offsets = batch.offsets;
  attention.heads = spec_.heads;
  attention.kv_heads = spec_.kv_heads;
  attention.head_dim = spec_.head_dim;
  attention.rope = rope_.table(longest, scratch);
  attention.out = y;

  kernels::embed_rows(kernels_, weights_.words.rows, batch.ids, nullptr, x, team);
  for (const Qwen2Layer& layer : weights_.layers) {
    rms_norm(pass, layer.attention_norm, x, tokens, y);
    apply(pass, layer.qkv, y, tokens, qkv);
    kernels::attention(kernels_, attention, team, scratch.workspace);
    apply(pass, layer.out, y, tokens, x, kernels::Epilogue::none, x);
    for (std::size_t row = 0; row < tokens; row += step) {
      const std::size_t rows = std::min(step, tokens - row);
      float* const some = x + row * hidden;  // (rows, hidden)
      rms_norm(pass, layer.mlp_norm, some, rows, y);
      apply(pass, layer.up, y, rows, qkv, kernels::Epilogue::glu_silu);
      apply(pass, layer.down, qkv, rows, some, kernels::Epilogue::none, some);
    }
  }
  rms_norm(pass, weights_.final_norm, x, tokens, x);
  kernels::mean_pool(kernels_, x, hidden, batch.offsets, pooled, team);
}

std::unique_ptr<const Encoder> make_qwen2(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                          const LoadContext& context) {
  Loader loader(tensors, context, find_prefix(tensors, "embed_tokens.weight"));
  load(loader, spec);
  loader.start_packing();
  Qwen2Weights weights = load(loader, spec);
  return std::make_unique<const Qwen2Encoder>(spec, *context.kernels, std::move(weights), loader.packed_bytes());
}

}  // namespace stella::models
