// The encoders: token ids of a packed batch to pooled vectors to head vectors.
#pragma once

#include "models/encoder_types.hpp"

#include <cstddef>
#include <memory>
#include <span>

namespace stella::models {

/// Validates every tensor it needs (names with the prefix "new.", "model.", "bert." or none), packs, and drops the
/// source pages. The encoder holds everything it needs; `tensors` may go. Throws Error(missing_tensor | malformed_file
/// | unsupported_model); where `context.packed` does not fit the model, Error(malformed_file).
std::unique_ptr<const Encoder> make_encoder(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                            const LoadContext& context);

/// What an encoder's weights take at a precision, at the most.
struct PackedBytes {
  std::size_t in_file = 0;  // matrices and tables, which a loaded encoder maps where they are in a file
  std::size_t copied = 0;   // what is the process's own in any case
  std::size_t layer = 0;    // of the matrices, those of one layer
};
/// Reads no weights. Throws as make_encoder() does.
PackedBytes packed_bytes(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                         const kernels::Kernels& kernels, Precision precision);

/// Packs for every trial at once, layer by layer, and drops each layer when it is written and has run on
/// `context.calibration`'s texts beside f32, so that memory never holds more than one of each; without texts nothing
/// runs, and every trial needs a writer. `context.precision` and `context.packed` do not count. Throws as
/// make_encoder() does.
void pack_encoder(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
                  std::span<Trial> trials);

/// A dense head in f32: out (m, spec.out) = x (m, spec.in) Wᵀ + b.
class DenseHead {
 public:
  DenseHead(const weights::HeadSpec& spec, const weights::Tensors& tensors, const LoadContext& context);
  DenseHead(DenseHead&&) noexcept;
  ~DenseHead();
  /// What one takes.
  static std::size_t packed_bytes(const weights::HeadSpec& spec, const kernels::Kernels& kernels);
  std::size_t in() const noexcept;
  std::size_t out() const noexcept;
  std::size_t weight_bytes() const noexcept;
  void forward(const float* x, std::size_t m, float* out, ParallelTeam& team, kernels::Workspace& workspace) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace stella::models
