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

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

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

constexpr std::size_t kCopies = 8;

/// Columns that pack() splits: the few whose activations stand out by more than three times the usual.
std::vector<std::int32_t> choose_split(std::span<const float> column_max, std::size_t k) {
  if (column_max.empty()) return {};
  if (column_max.size() != k) throw Error(Errc::invalid_argument, "pack: column_max has not one value per column");
  std::vector<float> sorted(column_max.begin(), column_max.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t most = k / 64;  // 11 % more work at eight copies
  const float limit = std::max(3 * sorted[k / 2], sorted[k - 1 - most]);
  std::vector<std::int32_t> split;
  for (std::size_t i = 0; i < k; ++i) {
    if (column_max[i] > limit) split.push_back(static_cast<std::int32_t>(i));
  }
  return split;
}

PackedHeader make_header(const GemmOps& ops, Precision precision, RowOrder order, std::size_t n, std::size_t k,
                         std::size_t split_count) {
  PackedHeader h{};
  h.magic = kPackedMagic;
  h.version = kPackedVersion;
  h.precision = static_cast<std::uint32_t>(precision);
  h.row_order = static_cast<std::uint32_t>(order);
  h.nr = static_cast<std::uint32_t>(ops.nr);
  h.group = static_cast<std::uint32_t>(ops.group);
  h.b_element = static_cast<std::uint32_t>(ops.b_element);
  h.n = n;
  h.k = k;
  h.split_count = split_count;
  h.copies = split_count == 0 ? 1 : kCopies;
  h.k_padded = round_up(k + split_count * (h.copies - 1), ops.k_multiple);
  const std::size_t rows = panel_count(n, ops.nr, order) * ops.nr;
  std::size_t at = round_up(sizeof(PackedHeader), 64);
  const auto place = [&at](std::size_t bytes) {
    const std::size_t here = at;
    at = round_up(at + bytes, 64);
    return here;
  };
  if (precision == Precision::int16 || precision == Precision::int8) h.col_scale_at = place(rows * sizeof(float));
  if (precision == Precision::int8) h.b_sums_at = place(rows * sizeof(std::int32_t));
  if (split_count != 0) {
    h.split_at = place(split_count * sizeof(std::int32_t));
    h.column_weights_at = place(k * sizeof(float));
  }
  h.panels_at = place(rows * h.k_padded * ops.b_element);
  h.bytes = at;
  return h;
}

std::uint16_t round_to_bf16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

/// rows (nr, k_padded) to one panel (k_padded / group, nr, group) by small squares that stay in cache.
template <class Element, class Convert>
void interleave(const float* rows, const PackedHeader& h, std::byte* panel, Convert convert) {
  constexpr std::size_t kSquare = 16;
  auto* out = reinterpret_cast<Element*>(panel);
  for (std::size_t k0 = 0; k0 < h.k_padded; k0 += kSquare) {
    const std::size_t stop = std::min<std::size_t>(h.k_padded, k0 + kSquare);
    for (std::size_t r = 0; r < h.nr; ++r) {
      const float* row = rows + r * h.k_padded;
      for (std::size_t i = k0; i < stop; ++i) {
        out[i / h.group * h.nr * h.group + r * h.group + i % h.group] = convert(row[i]);
      }
    }
  }
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
    const int q = static_cast<int>(std::nearbyint(own * inverse * static_cast<float>(copies)));
    const auto part = [&](int copy) { return std::floor(static_cast<float>(q + copy) / static_cast<float>(copies)); };
    for (int copy = 1; copy < copies; ++copy) row[extra++] = part(copy);
    own = part(0) / inverse;  // the loop below brings it back
  }
  for (std::size_t i = 0; i < k; ++i) row[i] = std::clamp(std::nearbyint(row[i] * inverse), -limit, limit);
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

void check_header(const PackedHeader& h, const Kernels& kernels, std::size_t bytes) {
  const auto fail = [](const char* what) {
    throw Error(Errc::malformed_file, std::string("a packed matrix ") + what + "; remove it from the cache");
  };
  if (h.magic != kPackedMagic || h.version != kPackedVersion) fail("has another format or version");
  const auto precision = static_cast<Precision>(h.precision);
  if (h.precision > static_cast<std::uint32_t>(Precision::int8) || !supports(kernels, precision)) {
    fail("has a precision that these kernels lack");
  }
  const GemmOps& ops = gemm_ops(kernels, precision);
  if (h.nr != ops.nr || h.group != ops.group || h.b_element != ops.b_element) fail("was made for other kernels");
  constexpr std::uint64_t kMost = std::uint64_t{1} << 32U;
  if (h.n == 0 || h.k == 0 || h.n > kMost || h.k > kMost || h.row_order > 1 || h.split_count > h.k) {
    fail("has impossible sizes");
  }
  const PackedHeader want = make_header(ops, precision, static_cast<RowOrder>(h.row_order), h.n, h.k, h.split_count);
  if (std::memcmp(&want, &h, sizeof(h)) != 0 || h.bytes > bytes) fail("has a damaged header or is cut short");
}

}  // namespace

std::size_t panel_count(std::size_t n, std::size_t nr, RowOrder order) {
  return order == RowOrder::interleaved ? 2 * ((n / 2 + nr - 1) / nr) : (n + nr - 1) / nr;
}

void PackedMatrix::Impl::attach() {
  std::memcpy(&header, block, sizeof(header));
  panels = block + header.panels_at;
  const auto part = [this](std::uint64_t at) { return at == 0 ? nullptr : block + at; };
  col_scale = reinterpret_cast<const float*>(part(header.col_scale_at));
  b_sums = reinterpret_cast<const std::int32_t*>(part(header.b_sums_at));
  split = reinterpret_cast<const std::int32_t*>(part(header.split_at));
  column_weights = reinterpret_cast<const float*>(part(header.column_weights_at));
  panel_count = kernels::panel_count(header.n, header.nr, static_cast<RowOrder>(header.row_order));
  panel_bytes = std::size_t{header.nr} * header.k_padded * header.b_element;
}

PackedMatrix::PackedMatrix() = default;
PackedMatrix::PackedMatrix(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;
PackedMatrix::~PackedMatrix() = default;

std::size_t PackedMatrix::n() const noexcept {
  return impl_ ? impl_->header.n : 0;
}
std::size_t PackedMatrix::k() const noexcept {
  return impl_ ? impl_->header.k : 0;
}
Precision PackedMatrix::precision() const noexcept {
  return impl_ ? static_cast<Precision>(impl_->header.precision) : Precision::f32;
}
std::size_t PackedMatrix::bytes() const noexcept {
  return impl_ ? impl_->header.bytes : 0;
}

std::span<const std::byte> PackedMatrix::serialized() const noexcept {
  return impl_ ? std::span{impl_->block, impl_->header.bytes} : std::span<const std::byte>{};
}

PackedMatrix PackedMatrix::from_bytes(const Kernels& kernels, std::span<const std::byte> bytes,
                                      std::shared_ptr<const void> keep) {
  PackedHeader header{};
  if (bytes.size() < sizeof(header) || reinterpret_cast<std::uintptr_t>(bytes.data()) % 64 != 0) {
    throw Error(Errc::malformed_file, "a packed matrix is cut short or misplaced; remove it from the cache");
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  check_header(header, kernels, bytes.size());
  auto impl = std::make_unique<Impl>();
  impl->kept = std::move(keep);
  impl->block = bytes.data();
  impl->attach();
  for (std::size_t i = 0; i < header.split_count; ++i) {
    if (impl->split[i] < 0 || static_cast<std::uint64_t>(impl->split[i]) >= header.k) {
      throw Error(Errc::malformed_file, "a packed matrix names a column it lacks; remove it from the cache");
    }
  }
  return PackedMatrix(std::move(impl));
}

std::string layout_id(const Kernels& kernels, Precision precision) {
  const GemmOps& ops = gemm_ops(kernels, precision);
  return std::string(to_string(precision)) + "-r" + std::to_string(ops.nr) + "-g" + std::to_string(ops.group) + "-v" +
         std::to_string(kPackedVersion);
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
  const PackedHeader header = make_header(ops, precision, order, n, k, split.size());
  impl->owned = AlignedBuffer(header.bytes);
  std::byte* block = impl->owned.data();
  std::memset(block, 0, header.panels_at);
  std::memcpy(block, &header, sizeof(header));
  if (!split.empty()) {
    std::memcpy(block + header.split_at, split.data(), split.size() * sizeof(split[0]));
    auto* weights = reinterpret_cast<float*>(block + header.column_weights_at);
    std::fill(weights, weights + k, 1.0F);
    for (const std::int32_t column : split) weights[column] = 1.0F / static_cast<float>(kCopies);
  }
  impl->block = block;
  impl->attach();

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
