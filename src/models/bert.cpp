#include "models/post_norm.hpp"
#include "models/stack.hpp"

#include <string>
#include <utility>

namespace stella::models {
namespace {

struct BertParts {
  static constexpr const char* kProbe = "embeddings.word_embeddings.weight";

  static PostNormEnds ends(Loader& loader, const weights::EncoderSpec& spec) {
    const std::size_t h = spec.hidden;
    PostNormEnds ends;
    ends.words = loader.table("embeddings.word_embeddings.weight", spec.vocab_size, h);
    ends.type_row = loader.dense_rows("embeddings.token_type_embeddings.weight", spec.type_vocab_size, h);
    if (!ends.type_row.empty()) ends.type_row.resize(h);  // a single text is of type 0 throughout
    ends.positions = loader.dense_rows("embeddings.position_embeddings.weight", spec.max_positions, h);
    ends.embedding_norm = loader.norm("embeddings.LayerNorm", h);
    return ends;
  }
  static PostNorm net(PostNormEnds ends, const weights::EncoderSpec& spec, const kernels::Kernels& kernels) {
    return {spec, kernels, kernels::Epilogue::gelu, std::move(ends)};
  }
  static PostNormLayer layer(Loader& loader, const weights::EncoderSpec& spec, std::size_t i) {
    const std::size_t h = spec.hidden;
    const std::string at = "encoder.layer." + std::to_string(i) + ".";
    std::vector<Loader::Part> matrices;
    std::vector<Loader::Part> biases;
    for (const char* name : {"query", "key", "value"}) {
      matrices.push_back({at + "attention.self." + name + ".weight", h});
      biases.push_back({at + "attention.self." + name + ".bias", h});
    }
    PostNormLayer layer;
    layer.qkv = loader.linear(matrices, h, biases);
    layer.out = loader.linear(at + "attention.output.dense", h, h);
    layer.attention_norm = loader.norm(at + "attention.output.LayerNorm", h);
    layer.up = loader.linear(at + "intermediate.dense", spec.intermediate, h);
    layer.down = loader.linear(at + "output.dense", h, spec.intermediate);
    layer.mlp_norm = loader.norm(at + "output.LayerNorm", h);
    return layer;
  }
};

}  // namespace

std::unique_ptr<const Encoder> make_bert(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                         const LoadContext& context) {
  return load_stack<BertParts>(spec, tensors, context);
}

void pack_bert(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
               std::span<Trial> trials) {
  pack_stack<BertParts>(spec, tensors, context, trials);
}

}  // namespace stella::models
