// Encoders that normalise after each residual sum: "new" (Stella Small and other GTE v1.5 relatives) and "bert".
#pragma once

#include "models/pass.hpp"
#include "models/rope.hpp"

#include <cstddef>
#include <memory>
#include <optional>
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

struct PostNormWeights {
  Table words;                   // (vocab, hidden)
  std::vector<float> type_row;   // (hidden): token type 0, added to every token; empty without token types
  std::vector<float> positions;  // (max_positions, hidden) for absolute positions, else empty
  Norm embedding_norm;
  std::vector<PostNormLayer> layers;
};

/// x = norm(x + attention(x)); x = norm(x + mlp(x)).
class PostNormEncoder final : public Encoder {
 public:
  PostNormEncoder(const weights::EncoderSpec& spec, const kernels::Kernels& kernels, kernels::Epilogue activation,
                  PostNormWeights weights, std::size_t weight_bytes);

  void forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch) const override;
  std::size_t hidden() const noexcept override { return spec_.hidden; }
  std::size_t weight_bytes() const noexcept override;

 private:
  void embed(const Pass& pass, const PackedBatch& batch, float* x) const;

  weights::EncoderSpec spec_;
  const kernels::Kernels& kernels_;
  kernels::Epilogue activation_;
  PostNormWeights weights_;
  std::optional<Rope> rope_;
  std::size_t weight_bytes_;
};

/// Tensors as in Alibaba-NLP's NewModel: packed or separate query, key and value; GLU without bias; rotary positions.
std::unique_ptr<const Encoder> make_new_model(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                              const LoadContext& context);
/// Tensors as in Hugging Face's BertModel.
std::unique_ptr<const Encoder> make_bert(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                         const LoadContext& context);

}  // namespace stella::models
