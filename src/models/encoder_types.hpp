// What an encoder is, and what loading and a forward pass hand to it.
#pragma once

#include "base/unique_function.hpp"
#include "kernels/aligned_buffer.hpp"
#include "kernels/kernels.hpp"
#include "models/calibration.hpp"
#include "weights/model_spec.hpp"
#include "weights/tensors.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace stella::models {

/// Sequences laid end to end; no padding anywhere. Views into the caller's buffers.
struct PackedBatch {
  std::span<const std::int32_t> ids;      // (tokens)
  std::span<const std::int32_t> offsets;  // (sequences + 1), offsets[0] == 0, offsets.back() == tokens
  std::size_t sequences() const noexcept { return offsets.size() - 1; }
};

/// Everything that one forward pass writes. Grows to the largest batch seen, then is reused. One per running pass.
struct Activations {
  kernels::AlignedBuffer buffer;
  std::vector<float> long_cos, long_sin;  // rotary angles of inputs longer than the model's own table
  kernels::Workspace workspace;
};

/// Called as parts of a model are packed: bytes of source weights done so far, and in all.
using LoadProgress = std::function<void(std::size_t done, std::size_t total)>;

class PackedFile;
class PackedFileWriter;

struct LoadContext {
  const kernels::Kernels* kernels = nullptr;
  Precision precision = Precision::f32;  // never automatic here
  ParallelTeam* team = nullptr;
  LoadProgress on_progress;
  /// Texts to compare with f32 on, and to find the columns with outliers by; null: none.
  Calibration* calibration = nullptr;
  /// Where the packed weights are already: they are mapped, and the encoder keeps the mapping. Null: they are packed.
  std::shared_ptr<const PackedFile> packed{};
};

/// A precision that a model is packed for, or only tried at.
struct Trial {
  Precision precision = Precision::f32;  // never automatic
  PackedFileWriter* writer = nullptr;    // gets every part that is packed; null: nobody keeps them
  Agreement needed{-1, -1};              // with less, what was written is of no use and may be incomplete
  Agreement agreement{};                 // filled in by pack_encoder() where there are texts
};

/// A loaded encoder; const and shared by all threads. Activations tell passes apart.
class Encoder {
 public:
  virtual ~Encoder() = default;
  /// Mean-pooled last hidden states: pooled (sequences, hidden). Gives the states themselves, (tokens, hidden) in
  /// `scratch`. Checked, Error(invalid_argument): ids lie in [0, vocab_size), no sequence is empty, none is longer than
  /// the positions of a bert. Memory grows with the batch's tokens. Thread-safe with one `scratch` and one `team` per
  /// running pass.
  ///
  /// `go_on` is called before every layer and product, while `team` is idle: it may run other passes, with activations
  /// of their own. Once it has said false the pass ends at the next layer and gives null.
  virtual const float* forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch,
                               FunctionRef<bool()> go_on) const = 0;
  const float* forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch) const {
    return forward(batch, pooled, team, scratch, [] { return true; });
  }
  virtual std::size_t hidden() const noexcept = 0;
  virtual std::size_t weight_bytes() const noexcept = 0;
  /// Of these, what lies in a mapped file, whose pages the system may take back.
  virtual std::size_t mapped_bytes() const noexcept { return 0; }
};

}  // namespace stella::models
