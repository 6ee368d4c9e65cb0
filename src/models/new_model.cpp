#include "models/encoder_kind.hpp"
#include "models/post_norm.hpp"

#include <string>
#include <utility>

namespace stella::models {
namespace {

Linear query_key_value(PartVisitor& visitor, const weights::EncoderSpec& spec, const std::string& attention) {
  const std::size_t h = spec.hidden;
  if (spec.packed_qkv) return visitor.linear(attention + "qkv_proj", 3 * h, h);
  std::vector<PartVisitor::Rows> weights;
  std::vector<PartVisitor::Rows> biases;
  for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
    weights.push_back({attention + name + ".weight", h});
    biases.push_back({attention + name + ".bias", h});
  }
  return visitor.linear(weights, h, biases);
}

struct NewModelWalk {
  using Net = PostNorm;
  static constexpr const char* kProbe = "embeddings.word_embeddings.weight";

  static PostNormEnds ends(PartVisitor& visitor, const weights::EncoderSpec& spec) {
    const std::size_t h = spec.hidden;
    PostNormEnds ends;
    ends.words = visitor.table("embeddings.word_embeddings.weight", spec.vocab_size, h);
    if (spec.type_vocab_size > 0) {
      ends.type_row = visitor.values("embeddings.token_type_embeddings.weight", {spec.type_vocab_size, h});
      if (!ends.type_row.empty()) ends.type_row.resize(h);  // a single text is of type 0 throughout
    }
    ends.embedding_norm = visitor.norm("embeddings.LayerNorm", h);
    return ends;
  }
  static PostNorm net(PostNormEnds ends, const weights::EncoderSpec& spec, const kernels::Kernels& kernels) {
    return {spec, kernels, kernels::Epilogue::glu_gelu, std::move(ends)};
  }
  static PostNormLayer layer(PartVisitor& visitor, const weights::EncoderSpec& spec, std::size_t i) {
    const std::size_t h = spec.hidden;
    const std::string at = "encoder.layer." + std::to_string(i) + ".";
    PostNormLayer layer;
    layer.qkv = query_key_value(visitor, spec, at + "attention.");
    layer.out = visitor.linear(at + "attention.o_proj", h, h);
    layer.attention_norm = visitor.norm(at + "attn_ln", h);
    layer.up = visitor.up_gate(at + "mlp.up_gate_proj.weight", spec.intermediate, h);
    layer.down = visitor.linear(at + "mlp.down_proj", h, spec.intermediate);
    layer.mlp_norm = visitor.norm(at + "mlp_ln", h);
    return layer;
  }
};

}  // namespace

const EncoderKind& new_model_kind() {
  static const LayeredKind<NewModelWalk> kind;
  return kind;
}

}  // namespace stella::models
