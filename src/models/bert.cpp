#include "models/encoder_kind.hpp"
#include "models/post_norm.hpp"

#include <string>
#include <utility>

namespace stella::models {
namespace {

struct BertWalk {
  using Net = PostNorm;
  static constexpr const char* kProbe = "embeddings.word_embeddings.weight";

  static PostNormEnds ends(PartVisitor& visitor, const weights::EncoderSpec& spec) {
    const std::size_t h = spec.hidden;
    PostNormEnds ends;
    ends.words = visitor.table("embeddings.word_embeddings.weight", spec.vocab_size, h);
    ends.type_row = visitor.values("embeddings.token_type_embeddings.weight", {spec.type_vocab_size, h});
    if (!ends.type_row.empty()) ends.type_row.resize(h);  // a single text is of type 0 throughout
    ends.positions = visitor.values("embeddings.position_embeddings.weight", {spec.max_positions, h});
    ends.embedding_norm = visitor.norm("embeddings.LayerNorm", h);
    return ends;
  }
  static PostNorm net(PostNormEnds ends, const weights::EncoderSpec& spec, const kernels::Kernels& kernels) {
    return {spec, kernels, kernels::Epilogue::gelu, std::move(ends)};
  }
  static PostNormLayer layer(PartVisitor& visitor, const weights::EncoderSpec& spec, std::size_t i) {
    const std::size_t h = spec.hidden;
    const std::string at = "encoder.layer." + std::to_string(i) + ".";
    std::vector<PartVisitor::Rows> matrices;
    std::vector<PartVisitor::Rows> biases;
    for (const char* name : {"query", "key", "value"}) {
      matrices.push_back({at + "attention.self." + name + ".weight", h});
      biases.push_back({at + "attention.self." + name + ".bias", h});
    }
    PostNormLayer layer;
    layer.qkv = visitor.linear(matrices, h, biases);
    layer.out = visitor.linear(at + "attention.output.dense", h, h);
    layer.attention_norm = visitor.norm(at + "attention.output.LayerNorm", h);
    layer.up = visitor.linear(at + "intermediate.dense", spec.intermediate, h);
    layer.down = visitor.linear(at + "output.dense", h, spec.intermediate);
    layer.mlp_norm = visitor.norm(at + "output.LayerNorm", h);
    return layer;
  }
};

}  // namespace

const EncoderKind& bert_kind() {
  static const LayeredKind<BertWalk> kind;
  return kind;
}

}  // namespace stella::models
