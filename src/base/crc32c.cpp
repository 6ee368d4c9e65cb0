#include "base/crc32c.hpp"

#include "base/cpu.hpp"
#include "base/crc32c_tables.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace stella {
namespace {

/// tables[i][b]: the remainder of byte b with i zero bytes behind it.
constexpr std::array<std::array<std::uint32_t, 256>, 8> make_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? crc32c_sets::kPolynomial : 0U);
    tables[0][b] = crc;
  }
  for (std::size_t i = 1; i < tables.size(); ++i) {
    for (std::size_t b = 0; b < 256; ++b) {
      tables[i][b] = (tables[i - 1][b] >> 8U) ^ tables[0][tables[i - 1][b] & 0xFFU];
    }
  }
  return tables;
}
constexpr auto kTables = make_tables();

}  // namespace

std::uint32_t crc32c_sets::portable(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint32_t crc = ~before;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  if constexpr (std::endian::native == std::endian::little) {
    for (; left >= 8; left -= 8, at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof(word));
      word ^= crc;
      crc = 0;
      for (std::size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xFFU];
    }
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8U) ^ kTables[0][(crc ^ std::to_integer<std::uint32_t>(*at)) & 0xFFU];
  return ~crc;
}

#if !defined(__x86_64__)
crc32c_sets::Function crc32c_sets::sse42() noexcept {
  return nullptr;
}
#endif

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
  static const crc32c_sets::Function best =
      cpu_features().sse42 && crc32c_sets::sse42() != nullptr ? crc32c_sets::sse42() : &crc32c_sets::portable;
  return best(bytes, before);
}

std::uint32_t crc32c_combine(std::uint32_t first, std::uint32_t second, std::uint64_t second_bytes) {
  return crc32c_sets::multiply(crc32c_sets::power(second_bytes), first) ^ second;
}

}  // namespace stella
