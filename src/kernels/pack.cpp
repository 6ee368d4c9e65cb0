// Packing of weights: once, when a model is loaded.
#include "kernels/kernels.hpp"
#include "kernels/packed_matrix.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace stella::kernels {
namespace {

/// Finds the source row behind each row of the packed matrix.
class RowFinder {
 public:
  RowFinder(std::span<const MatrixSource> sources, RowOrder order, std::size_t nr)
      : sources_(sources), order_(order), nr_(nr) {}

  /// Address and type of packed row `lane` of `panel`; nullptr for padding.
  const void* row(std::size_t panel, std::size_t lane, DType& type) const {
    if (order_ == RowOrder::interleaved) {
      return row_of(sources_[panel % 2], panel / 2 * nr_ + lane, type);
    }
    std::size_t row = panel * nr_ + lane;
    for (const MatrixSource& source : sources_) {
      if (row < source.n) return row_of(source, row, type);
      row -= source.n;
    }
    return nullptr;
  }

 private:
  static const void* row_of(const MatrixSource& source, std::size_t row, DType& type) {
    type = source.type;
    if (row >= source.n) return nullptr;
    return static_cast<const std::byte*>(source.data) + row * source.k * size_of(source.type);
  }

  std::span<const MatrixSource> sources_;
  RowOrder order_;
  std::size_t nr_;
};

void check_sources(std::span<const MatrixSource> sources, RowOrder order) {
  const auto fail = [](const std::string& what) { throw Error(Errc::invalid_argument, "pack: " + what); };
  if (sources.empty()) fail("no source matrix");
  for (const MatrixSource& source : sources) {
    if (source.k != sources[0].k) fail("source matrices of different widths");
    if (source.k == 0 || source.n == 0) fail("an empty source matrix");
  }
  if (order == RowOrder::interleaved && (sources.size() != 2 || sources[0].n != sources[1].n)) {
    fail("an interleaved matrix needs two sources of equal height");
  }
}

/// At eight copies 11 % more work.
std::size_t max_split(std::size_t k) {
  return k / 64;
}

/// Columns that pack() splits: the few whose activations stand out by more than three times the usual.
std::vector<std::int32_t> choose_split(std::span<const float> column_max, std::size_t k) {
  if (column_max.empty()) return {};
  if (column_max.size() != k) throw Error(Errc::invalid_argument, "pack: column_max has not one value per column");
  std::vector<float> sorted(column_max.begin(), column_max.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t most = max_split(k);
  const float limit = std::max(3 * sorted[k / 2], sorted[k - 1 - most]);
  std::vector<std::int32_t> split;
  for (std::size_t i = 0; i < k; ++i) {
    if (column_max[i] > limit) split.push_back(static_cast<std::int32_t>(i));
  }
  return split;
}

std::uint16_t round_to_bf16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

/// rows (nr, k_padded) to one panel (k_padded / Group, nr, Group) by small squares that stay in cache.
template <std::size_t Group, class Element, class Convert>
void interleave_groups(const float* rows, std::size_t nr, std::size_t k_padded, Element* out, Convert convert) {
  constexpr std::size_t kSquare = 16;
  for (std::size_t k0 = 0; k0 < k_padded; k0 += kSquare) {
    const std::size_t stop = std::min<std::size_t>(k_padded, k0 + kSquare);
    for (std::size_t r = 0; r < nr; ++r) {
      const float* row = rows + r * k_padded;
      for (std::size_t i = k0; i < stop; i += Group) {
        for (std::size_t j = 0; j < Group; ++j) out[(i * nr + r * Group) + j] = convert(row[i + j]);
      }
    }
  }
}

template <class Element, class Convert>
void interleave(const float* rows, const PackedHeader& h, std::byte* panel, Convert convert) {
  auto* out = reinterpret_cast<Element*>(panel);  // k_padded is a multiple of the group
  if (h.group == 1) return interleave_groups<1>(rows, h.nr, h.k_padded, out, convert);
  if (h.group == 2) return interleave_groups<2>(rows, h.nr, h.k_padded, out, convert);
  return interleave_groups<4>(rows, h.nr, h.k_padded, out, convert);
}

/// To the nearest integer, ties to even, for |x| < 2^22: adding 1.5 · 2^23 leaves no bits below one.
float round_even(float x) {
  constexpr float kShift = 0x1.8p23F;
  return (x + kShift) - kShift;
}

/// Replaces a row by the integers that stand for it, still as floats, and returns what one of them is worth.
float quantize_row(float* row, const PackedMatrix::Impl& w, float limit) {
  const std::size_t k = w.header.k;
  float peak = 0;
  for (std::size_t i = 0; i < k; ++i) peak = std::max(peak, std::fabs(row[i]));
  if (peak == 0) return 0;
  const float inverse = limit / peak;
  // Copies of a column hold roughly equal values that add up to `copies` times its weight, so that they also carry
  // more bits of it than one could.
  std::size_t extra = k;
  for (std::size_t s = 0; s < w.header.split_count; ++s) {
    const int copies = static_cast<int>(w.header.copies);
    float& own = row[w.split[s]];
    const int q = static_cast<int>(round_even(own * inverse * static_cast<float>(copies)));
    const auto part = [&](int copy) { return std::floor(static_cast<float>(q + copy) / static_cast<float>(copies)); };
    for (int copy = 1; copy < copies; ++copy) row[extra++] = part(copy);
    own = part(0) / inverse;  // the loop below brings it back
  }
  for (std::size_t i = 0; i < k; ++i) row[i] = std::clamp(round_even(row[i] * inverse), -limit, limit);
  return peak / limit;
}

/// Packs the rows (nr, k_padded; padding zero) of one panel.
void pack_panel(float* rows, const PackedMatrix::Impl& w, std::byte* block, std::size_t panel) {
  const PackedHeader& h = w.header;
  std::byte* out = block + h.panels_at + panel * w.panel_bytes;
  const auto precision = static_cast<Precision>(h.precision);
  if (precision == Precision::f32) return interleave<float>(rows, h, out, [](float x) { return x; });
  if (precision == Precision::bf16) return interleave<std::uint16_t>(rows, h, out, round_to_bf16);
  auto* scales = reinterpret_cast<float*>(block + h.col_scale_at) + panel * h.nr;
  const float limit = precision == Precision::int16 ? 2047.0F : 127.0F;
  for (std::size_t r = 0; r < h.nr; ++r) scales[r] = quantize_row(rows + r * h.k_padded, w, limit);
  if (precision == Precision::int16) {
    return interleave<std::int16_t>(rows, h, out, [](float x) { return static_cast<std::int16_t>(x); });
  }
  auto* sums = reinterpret_cast<std::int32_t*>(block + h.b_sums_at) + panel * h.nr;
  for (std::size_t r = 0; r < h.nr; ++r) {
    const float* row = rows + r * h.k_padded;
    sums[r] = 0;
    for (std::size_t i = 0; i < h.k_padded; ++i) sums[r] += static_cast<std::int32_t>(row[i]);
  }
  interleave<std::int8_t>(rows, h, out, [](float x) { return static_cast<std::int8_t>(x); });
}

}  // namespace

std::size_t packed_bytes(const Kernels& kernels, Precision precision, RowOrder order, std::size_t n, std::size_t k) {
  const std::size_t split = precision == Precision::int8 ? max_split(k) : 0;
  return make_packed_header(gemm_ops(kernels, precision), precision, order, n, k, split).bytes;
}

PackedMatrix pack(const Kernels& kernels, Precision precision, RowOrder order, std::span<const MatrixSource> sources,
                  ParallelTeam& team, const PackOptions& options) {
  check_sources(sources, order);
  const GemmOps& ops = gemm_ops(kernels, precision);
  const std::size_t k = sources[0].k;
  std::size_t n = 0;
  for (const MatrixSource& source : sources) n += source.n;
  std::vector<std::int32_t> split;
  if (precision == Precision::int8) split = choose_split(options.column_max, k);

  auto impl = std::make_unique<PackedMatrix::Impl>();
  const PackedHeader header = make_packed_header(ops, precision, order, n, k, split.size());
  impl->owned = AlignedBuffer(header.bytes);
  std::byte* block = impl->owned.data();
  std::memset(block, 0, header.panels_at);
  std::memcpy(block, &header, sizeof(header));
  if (!split.empty()) {
    std::memcpy(block + header.split_at, split.data(), split.size() * sizeof(split[0]));
    auto* weights = reinterpret_cast<float*>(block + header.column_weights_at);
    std::fill(weights, weights + k, 1.0F);
    for (const std::int32_t column : split) weights[column] = 1.0F / static_cast<float>(kSplitCopies);
  }
  impl->block = block;
  impl->attach(header);

  const RowFinder finder(sources, order, ops.nr);
  std::vector<AlignedBuffer> rows_of_worker;  // (nr, k_padded) each
  for (std::size_t i = 0; i < team.size(); ++i) rows_of_worker.emplace_back(ops.nr * header.k_padded * sizeof(float));
  team.run(impl->panel_count, [&](std::size_t panel, std::size_t worker) {
    auto* rows = reinterpret_cast<float*>(rows_of_worker[worker].data());
    for (std::size_t lane = 0; lane < ops.nr; ++lane) {
      DType type = DType::f32;
      float* row = rows + lane * header.k_padded;
      const void* source = finder.row(panel, lane, type);
      const std::size_t real = source == nullptr ? 0 : k;
      if (source != nullptr) kernels.to_f32(source, type, k, row);
      std::fill(row + real, row + header.k_padded, 0.0F);
    }
    pack_panel(rows, *impl, block, panel);
  });
  return PackedMatrix(std::move(impl));
}

}  // namespace stella::kernels
