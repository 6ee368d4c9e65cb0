// Packing of weights: once, when a model is loaded.
#include "kernels/kernels.hpp"
#include "kernels/packed_matrix.hpp"
#include "stella/error.hpp"

#include <algorithm>
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

PackedHeader make_header(const GemmOps& ops, Precision precision, RowOrder order, std::size_t n, std::size_t k,
                         std::size_t k_padded) {
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
  h.k_padded = k_padded;
  const std::size_t rows = panel_count(n, ops.nr, order) * ops.nr;
  std::size_t at = round_up(sizeof(PackedHeader), 64);
  const auto place = [&at](std::size_t bytes) {
    const std::size_t here = at;
    at = round_up(at + bytes, 64);
    return here;
  };
  h.panels_at = place(rows * k_padded * ops.b_element);
  h.bytes = at;
  return h;
}

/// rows (nr, k_padded) f32 to one panel (k_padded, nr), by small squares that stay in cache.
void interleave_f32(const float* rows, std::size_t nr, std::size_t k, float* panel) {
  constexpr std::size_t kSquare = 16;
  for (std::size_t k0 = 0; k0 < k; k0 += kSquare) {
    const std::size_t stop = std::min(k, k0 + kSquare);
    for (std::size_t r = 0; r < nr; ++r) {
      for (std::size_t i = k0; i < stop; ++i) panel[i * nr + r] = rows[r * k + i];
    }
  }
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
  columns = reinterpret_cast<const std::int32_t*>(part(header.columns_at));
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

PackedMatrix pack(const Kernels& kernels, Precision precision, RowOrder order, std::span<const MatrixSource> sources,
                  ParallelTeam& team) {
  check_sources(sources, order);
  const GemmOps& ops = gemm_ops(kernels, precision);
  const std::size_t k = sources[0].k;
  std::size_t n = 0;
  for (const MatrixSource& source : sources) n += source.n;
  const std::size_t k_padded = round_up(k, ops.k_multiple);

  auto impl = std::make_unique<PackedMatrix::Impl>();
  const PackedHeader header = make_header(ops, precision, order, n, k, k_padded);
  impl->owned = AlignedBuffer(header.bytes);
  std::byte* block = impl->owned.data();
  std::memset(block, 0, header.panels_at);
  std::memcpy(block, &header, sizeof(header));
  impl->block = block;
  impl->attach();

  const RowFinder finder(sources, order, ops.nr);
  std::vector<AlignedBuffer> rows_of_worker;  // (nr, k_padded) each
  for (std::size_t i = 0; i < team.size(); ++i) rows_of_worker.emplace_back(ops.nr * k_padded * sizeof(float));
  team.run(impl->panel_count, [&](std::size_t panel, std::size_t worker) {
    auto* rows = reinterpret_cast<float*>(rows_of_worker[worker].data());
    for (std::size_t lane = 0; lane < ops.nr; ++lane) {
      DType type = DType::f32;
      float* row = rows + lane * k_padded;
      const void* source = finder.row(panel, lane, type);
      const std::size_t real = source == nullptr ? 0 : k;
      if (source != nullptr) kernels.to_f32(source, type, k, row);
      std::fill(row + real, row + k_padded, 0.0F);
    }
    std::byte* out = block + header.panels_at + panel * impl->panel_bytes;
    interleave_f32(rows, ops.nr, k_padded, reinterpret_cast<float*>(out));
  });
  return PackedMatrix(std::move(impl));
}

}  // namespace stella::kernels
