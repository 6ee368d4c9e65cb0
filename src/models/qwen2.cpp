#include "models/qwen2.hpp"

#include "models/encoder_kind.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace stella::models {
namespace {

struct Qwen2Walk {
  using Net = Qwen2;
  static constexpr const char* kProbe = "embed_tokens.weight";

  static Qwen2Ends ends(PartVisitor& visitor, const weights::EncoderSpec& spec) {
    return {visitor.table("embed_tokens.weight", spec.vocab_size, spec.hidden),
            visitor.values("norm.weight", {spec.hidden})};
  }
  static Qwen2 net(Qwen2Ends ends, const weights::EncoderSpec& spec, const kernels::Kernels& kernels) {
    return {spec, kernels, std::move(ends)};
  }
  static Qwen2Layer layer(PartVisitor& visitor, const weights::EncoderSpec& spec, std::size_t i) {
    const std::size_t h = spec.hidden;
    const std::size_t q = spec.heads * spec.head_dim;
    const std::size_t kv = spec.kv_heads * spec.head_dim;
    const std::string at = "layers." + std::to_string(i) + ".";
    const std::string attention = at + "self_attn.";
    Qwen2Layer layer;
    layer.attention_norm = visitor.values(at + "input_layernorm.weight", {h});
    layer.qkv = visitor.linear(
        {{attention + "q_proj.weight", q}, {attention + "k_proj.weight", kv}, {attention + "v_proj.weight", kv}}, h,
        {{attention + "q_proj.bias", q}, {attention + "k_proj.bias", kv}, {attention + "v_proj.bias", kv}});
    layer.out = visitor.linear_without_bias(attention + "o_proj", h, q);
    layer.mlp_norm = visitor.values(at + "post_attention_layernorm.weight", {h});
    layer.up = visitor.up_gate(at + "mlp.up_proj.weight", at + "mlp.gate_proj.weight", spec.intermediate, h);
    layer.down = visitor.linear_without_bias(at + "mlp.down_proj", h, spec.intermediate);
    return layer;
  }
};

}  // namespace

Qwen2::Qwen2(const weights::EncoderSpec& spec, const kernels::Kernels& kernels, Qwen2Ends ends)
    : spec_(spec), kernels_(kernels), ends_(std::move(ends)), rope_(spec) {}

void Qwen2::rms_norm(const Pass& pass, const std::vector<float>& gain, const float* x, std::size_t m, float* y) const {
  kernels::rms_norm(kernels_, x, m, spec_.hidden, gain.data(), spec_.norm_eps, y, pass.team);
}

Qwen2::State Qwen2::start(const PackedBatch& batch, const PassResources& resources) const {
  const std::size_t longest = check_batch(batch, spec_.vocab_size);
  const std::size_t tokens = batch.ids.size();
  const std::size_t hidden = spec_.hidden;
  const std::size_t q = spec_.heads * spec_.head_dim;
  const std::size_t qkv_width = q + 2 * spec_.kv_heads * spec_.head_dim;
  const std::size_t step = feed_forward_rows(tokens);
  // The normalised rows and the attended ones share a place, as do q, k, v and the feed-forward rows.
  const auto parts = carve(resources.scratch, {tokens * hidden, tokens * std::max(hidden, q),
                                               std::max(tokens * qkv_width, step * spec_.intermediate)});
  const kernels::RopeTable rope = rope_.table(longest, resources.scratch);
  State state{batch,
              make_pass(kernels_, resources),
              attention_args(spec_, batch, resources.precision, rope, parts[2], parts[1]),
              step,
              parts[0],
              parts[1],
              parts[2]};
  kernels::embed_rows(kernels_, ends_.words.rows, batch.ids, nullptr, state.x, resources.team);
  return state;
}

void Qwen2::run(const Layer& layer, State& state) const {
  const Pass& pass = state.pass;
  const std::size_t tokens = state.batch.ids.size();
  float* const x = state.x;
  float* const y = state.y;
  rms_norm(pass, layer.attention_norm, x, tokens, y);
  apply(pass, layer.qkv, y, tokens, state.qkv);
  kernels::attention(kernels_, state.attention, pass.team, pass.workspace);
  apply(pass, layer.out, y, tokens, x, kernels::Epilogue::none, x);
  for (std::size_t row = 0; row < tokens; row += state.step) {
    const std::size_t rows = std::min(state.step, tokens - row);
    float* const some = x + row * spec_.hidden;  // (rows, hidden)
    rms_norm(pass, layer.mlp_norm, some, rows, y);
    apply(pass, layer.up, y, rows, state.qkv, kernels::Epilogue::glu_silu);
    apply(pass, layer.down, state.qkv, rows, some, kernels::Epilogue::none, some);
  }
}

void Qwen2::finish(State& state, float* pooled) const {
  rms_norm(state.pass, ends_.final_norm, state.x, state.batch.ids.size(), state.x);
  kernels::mean_pool(kernels_, state.x, spec_.hidden, state.batch.offsets, pooled, state.pass.team);
}

const EncoderKind& qwen2_kind() {
  static const LayeredKind<Qwen2Walk> kind;
  return kind;
}

}  // namespace stella::models
