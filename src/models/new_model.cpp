#include "models/post_norm.hpp"
#include "models/stack.hpp"

#include <string>
#include <utility>

namespace stella::models {
namespace {

Linear query_key_value(Loader& loader, const weights::EncoderSpec& spec, const std::string& attention) {
  const std::size_t h = spec.hidden;
  if (spec.packed_qkv) return loader.linear(attention + "qkv_proj", 3 * h, h);
  std::vector<Loader::Part> weights;
  std::vector<Loader::Part> biases;
  for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
    weights.push_back({attention + name + ".weight", h});
    biases.push_back({attention + name + ".bias", h});
  }
  return loader.linear(weights, h, biases);
}

struct NewModelParts {
  static constexpr const char* kProbe = "embeddings.word_embeddings.weight";

  static PostNormEnds ends(Loader& loader, const weights::EncoderSpec& spec) {
    const std::size_t h = spec.hidden;
    PostNormEnds ends;
    ends.words = loader.table("embeddings.word_embeddings.weight", spec.vocab_size, h);
    if (spec.type_vocab_size > 0) {
      ends.type_row = loader.dense_rows("embeddings.token_type_embeddings.weight", spec.type_vocab_size, h);
      if (!ends.type_row.empty()) ends.type_row.resize(h);  // a single text is of type 0 throughout
    }
    ends.embedding_norm = loader.norm("embeddings.LayerNorm", h);
    return ends;
  }
  static PostNorm net(PostNormEnds ends, const weights::EncoderSpec& spec, const kernels::Kernels& kernels) {
    return {spec, kernels, kernels::Epilogue::glu_gelu, std::move(ends)};
  }
  static PostNormLayer layer(Loader& loader, const weights::EncoderSpec& spec, std::size_t i) {
    const std::size_t h = spec.hidden;
    const std::string at = "encoder.layer." + std::to_string(i) + ".";
    PostNormLayer layer;
    layer.qkv = query_key_value(loader, spec, at + "attention.");
    layer.out = loader.linear(at + "attention.o_proj", h, h);
    layer.attention_norm = loader.norm(at + "attn_ln", h);
    layer.up = loader.up_gate(at + "mlp.up_gate_proj.weight", spec.intermediate, h);
    layer.down = loader.linear(at + "mlp.down_proj", h, spec.intermediate);
    layer.mlp_norm = loader.norm(at + "mlp_ln", h);
    return layer;
  }
};

}  // namespace

std::unique_ptr<const Encoder> make_new_model(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                              const LoadContext& context) {
  return load_stack<NewModelParts>(spec, tensors, context);
}

void pack_new_model(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
                    std::span<Trial> trials) {
  pack_stack<NewModelParts>(spec, tensors, context, trials);
}

}  // namespace stella::models
