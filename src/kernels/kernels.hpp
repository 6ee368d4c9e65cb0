// The arithmetic of the encoders, behind one dispatch table. Every function is a pure function of its arguments: its
// result for one row does not depend on the other rows, on the row's place or on the number of threads. No function
// allocates in steady state; scratch comes from the caller's Workspace.
//
// Matrices are row-major. f32 activations; weights are packed once into the layout of one kernel set and precision.
#pragma once

#include "base/dtype.hpp"
#include "base/thread_pool.hpp"
#include "kernels/epilogue.hpp"
#include "stella/options.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace stella::kernels {

/// One kernel set's functions (portable, avx2 or avx512). Obtain with select(); const and shared by all threads.
struct Kernels;

/// The best set this processor runs for KernelSet::automatic, else the one named. Throws Error(unsupported_processor).
const Kernels& select(KernelSet wanted);
KernelSet kernel_set_of(const Kernels& kernels) noexcept;
/// The set and what the processor adds to it, "avx512-vnni-bf16" for example: for reports and cache keys. Products of
/// the integer precisions have the same bits under every name; bf16 products, and attention in the narrow precisions,
/// differ between names.
const char* name_of(const Kernels& kernels) noexcept;
/// Whether `kernels` can pack and multiply at this precision; false for Precision::automatic.
bool supports(const Kernels& kernels, Precision precision) noexcept;

/// A stored weight matrix W (n, k), row-major, unpacked, any DType. Rows of several tensors can be packed as one
/// matrix.
struct MatrixSource {
  const void* data = nullptr;  // (n, k)
  DType type = DType::f32;
  std::size_t n = 0;
  std::size_t k = 0;
};

/// A weight matrix (n, k) in the layout of one kernel set and precision. Immutable, shared by all threads.
class PackedMatrix {
 public:
  PackedMatrix();
  PackedMatrix(PackedMatrix&&) noexcept;
  PackedMatrix& operator=(PackedMatrix&&) noexcept;
  ~PackedMatrix();

  std::size_t n() const noexcept;
  std::size_t k() const noexcept;
  Precision precision() const noexcept;
  std::size_t bytes() const noexcept;  ///< Memory held.

  /// The matrix as bytes that from_bytes() takes back, at any address that is a multiple of 64.
  std::span<const std::byte> serialized() const noexcept;
  /// A view of serialized bytes, a mapped file for example, that `keep` keeps in place. Checks the header, sizes and
  /// that the layout is that of `kernels`; throws Error(malformed_file).
  static PackedMatrix from_bytes(const Kernels& kernels, std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> keep);

  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }
  explicit PackedMatrix(std::unique_ptr<const Impl> impl);

 private:
  std::unique_ptr<const Impl> impl_;
};

/// How rows of the sources map to columns of the product.
enum class RowOrder : std::uint8_t {
  plain,        ///< Source rows one after another.
  interleaved,  ///< Two sources of n/2 rows each, a gate/up pair: laid so that the GLU epilogues find both halves at
                ///< once.
};

struct PackOptions {
  /// (k) the largest |activation| seen in each input column when the model was calibrated, or empty. int8 then gives
  /// the few columns that stand out eight times the range of the others; the other precisions need no help.
  std::span<const float> column_max = {};
};

/// Packs the concatenation of `sources` (equal k). For `interleaved`: exactly two sources of equal n, first `up`, then
/// `gate`. Throws Error(invalid_argument | unsupported_processor).
PackedMatrix pack(const Kernels& kernels, Precision precision, RowOrder order, std::span<const MatrixSource> sources,
                  ParallelTeam& team, const PackOptions& options = {});

/// Memory that pack() takes for a matrix (n, k), at the most: int8 takes less where no column is split.
std::size_t packed_bytes(const Kernels& kernels, Precision precision, RowOrder order, std::size_t n, std::size_t k);

/// Names the layout that pack() makes: serialized matrices of equal id can be exchanged. Safe in file names.
std::string layout_id(const Kernels& kernels, Precision precision);

/// Multiply-adds per second, times two, of a product of (m, k) by (n, k) on this processor, the fastest of a few runs;
/// takes some milliseconds. What Precision::automatic is decided by.
double measure_throughput(const Kernels& kernels, Precision precision, std::size_t m, std::size_t n, std::size_t k,
                          ParallelTeam& team);

/// out[j] = max(out[j], |x[i][j]| over rows i): fills PackOptions::column_max from activations x (m, k).
void update_column_max(const float* x, std::size_t m, std::size_t k, float* out);

/// Scratch that grows to what the largest call needed and is then reused. One per concurrently running forward pass.
class Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(Workspace&&) noexcept;
  Workspace& operator=(Workspace&&) noexcept;
  struct Impl;
  Impl& impl() noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

struct MatmulArgs {
  const float* x = nullptr;  // (m, k), contiguous
  std::size_t m = 0;
  const PackedMatrix* w = nullptr;  // (n, k)
  const float* bias = nullptr;      // (n) in source-row order, or null
  const float* residual = nullptr;  // (m, n) contiguous, added last, or null; may equal y; not with glu_*
  float* y = nullptr;               // (m, n), or (m, n/2) for glu_*; contiguous; must not overlap x
  Epilogue epilogue = Epilogue::none;
};
void matmul(const Kernels& kernels, const MatmulArgs& args, ParallelTeam& team, Workspace& workspace);

/// y = (x - mean) / sqrt(var + eps) · gain + shift, per row of n. In place is allowed.
void layer_norm(const Kernels& kernels, const float* x, std::size_t m, std::size_t n, const float* gain,
                const float* shift, float eps, float* y, ParallelTeam& team);
/// y = x / sqrt(mean(x²) + eps) · gain, per row of n. In place is allowed.
void rms_norm(const Kernels& kernels, const float* x, std::size_t m, std::size_t n, const float* gain, float eps,
              float* y, ParallelTeam& team);

/// Rotates pairs (i, i + head_dim/2) of each head by position · inv_freq[i]; rotate-half convention.
struct RopeTable {
  const float* cos = nullptr;  // (positions, head_dim / 2)
  const float* sin = nullptr;  // (positions, head_dim / 2)
};

/// Softmax(q kᵀ / sqrt(head_dim)) v over each sequence of a packed batch, full attention, grouped heads allowed,
/// without materialised scores. RoPE is applied to q and k first where `rope.cos` is given. head_dim at most
/// 512. The narrow precisions allow both products 16 bits (bf16, or integers of 13 and 12), where the processor is
/// faster with them; softmax is f32 always.
struct AttentionArgs {
  const float* qkv =
      nullptr;  // (tokens, (heads + 2 · kv_heads) · head_dim): q heads, then k heads, then v heads; left as it is
  std::span<const std::int32_t> offsets;  // (sequences + 1), cumulative token counts, offsets[0] == 0
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  RopeTable rope;
  float* out = nullptr;  // (tokens, heads · head_dim)
  Precision precision = Precision::f32;
};
void attention(const Kernels& kernels, const AttentionArgs& args, ParallelTeam& team, Workspace& workspace);

/// out[i] = row ids[i] of table (vocab, n) of any DType, plus `add` (n) where given.
void embed_rows(const Kernels& kernels, const MatrixSource& table, std::span<const std::int32_t> ids, const float* add,
                float* out, ParallelTeam& team);

/// pooled[s] = mean over the tokens of sequence s of x (tokens, n); one fixed order of additions per sequence.
void mean_pool(const Kernels& kernels, const float* x, std::size_t n, std::span<const std::int32_t> offsets,
               float* pooled, ParallelTeam& team);

/// Scales each row of n to unit length; a row of zeros stays zeros. Norm accumulated in double.
void l2_normalize(float* x, std::size_t m, std::size_t n);

}  // namespace stella::kernels
