#include "models/post_norm.hpp"

#include <string>
#include <utility>

namespace stella::models {
namespace {

PostNormWeights load(Loader& loader, const weights::EncoderSpec& spec) {
  const std::size_t h = spec.hidden;
  PostNormWeights weights;
  weights.words = loader.table("embeddings.word_embeddings.weight", spec.vocab_size, h);
  weights.type_row = loader.dense_rows("embeddings.token_type_embeddings.weight", spec.type_vocab_size, h);
  if (!weights.type_row.empty()) weights.type_row.resize(h);  // a single text is of type 0 throughout
  weights.positions = loader.dense_rows("embeddings.position_embeddings.weight", spec.max_positions, h);
  weights.embedding_norm = loader.norm("embeddings.LayerNorm", h);
  for (std::size_t i = 0; i < spec.layers; ++i) {
    const std::string at = "encoder.layer." + std::to_string(i) + ".";
    std::vector<Loader::Part> matrices;
    std::vector<Loader::Part> biases;
    for (const char* name : {"query", "key", "value"}) {
      matrices.push_back({at + "attention.self." + name + ".weight", h});
      biases.push_back({at + "attention.self." + name + ".bias", h});
    }
    PostNormLayer layer;
    layer.qkv = {loader.matrix(matrices, h), loader.vector(biases)};
    layer.out = loader.linear(at + "attention.output.dense", h, h);
    layer.attention_norm = loader.norm(at + "attention.output.LayerNorm", h);
    layer.up = loader.linear(at + "intermediate.dense", spec.intermediate, h);
    layer.down = loader.linear(at + "output.dense", h, spec.intermediate);
    layer.mlp_norm = loader.norm(at + "output.LayerNorm", h);
    weights.layers.push_back(std::move(layer));
  }
  return weights;
}

}  // namespace

std::unique_ptr<const Encoder> make_bert(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                         const LoadContext& context) {
  Loader loader(tensors, context, find_prefix(tensors, "embeddings.word_embeddings.weight"));
  load(loader, spec);
  loader.start_packing();
  PostNormWeights weights = load(loader, spec);
  return std::make_unique<const PostNormEncoder>(spec, *context.kernels, kernels::Epilogue::gelu, std::move(weights),
                                                 loader.packed_bytes());
}

}  // namespace stella::models
