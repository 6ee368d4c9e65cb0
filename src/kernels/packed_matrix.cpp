// The layout of packed matrices, and their way to a file and back.
#include "kernels/packed_matrix.hpp"

#include "stella/error.hpp"

#include <cstring>
#include <string>

namespace stella::kernels {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
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
  // An element has at least a byte, so n · k <= bytes; as that is memory, what make_packed_header() computes from sizes
  // that keep to it, some 40 bytes for each element at most, stays inside 64 bits.
  constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 32U;
  const auto order = static_cast<RowOrder>(h.row_order);
  const bool possible = h.n > 0 && h.k > 0 && h.n <= kMaxSize && h.k <= kMaxSize && h.n <= bytes / h.k &&
                        h.row_order <= 1 && (order == RowOrder::plain || h.n % 2 == 0) && h.split_count <= h.k;
  if (!possible) fail("has impossible sizes");
  const PackedHeader want = make_packed_header(ops, precision, order, h.n, h.k, h.split_count);
  if (std::memcmp(&want, &h, sizeof(h)) != 0 || h.bytes > bytes) fail("has a damaged header or is cut short");
}

}  // namespace

PackedHeader make_packed_header(const GemmOps& ops, Precision precision, RowOrder order, std::size_t n, std::size_t k,
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
  h.copies = split_count == 0 ? 1 : kSplitCopies;
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

std::size_t panel_count(std::size_t n, std::size_t nr, RowOrder order) {
  return order == RowOrder::interleaved ? 2 * ((n / 2 + nr - 1) / nr) : (n + nr - 1) / nr;
}

void PackedMatrix::Impl::attach(const PackedHeader& checked) {
  header = checked;
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
  impl->attach(header);
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

}  // namespace stella::kernels
