// Arithmetic of CRC-32C's polynomials modulo the generator, bits reflected: bit 31 is x^0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace stella::crc32c_sets {

inline constexpr std::uint32_t kPolynomial = 0x82F63B78U;

/// a · b
constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = std::uint32_t{1} << 31U; bit != 0; bit >>= 1U) {
    if ((a & bit) != 0) product ^= b;
    b = (b >> 1U) ^ ((b & 1U) != 0 ? kPolynomial : 0U);
  }
  return product;
}

/// x^(8 · bytes): multiplying a checksum by it appends that many zero bytes.
constexpr std::uint32_t power(std::uint64_t bytes) {
  std::uint32_t result = std::uint32_t{1} << 31U;  // x^0
  std::uint32_t square = std::uint32_t{1} << 23U;  // x^8
  for (; bytes != 0; bytes >>= 1U) {
    if ((bytes & 1U) != 0) result = multiply(result, square);
    square = multiply(square, square);
  }
  return result;
}

/// The product with one constant, a byte at a time.
class Multiplier {
 public:
  constexpr explicit Multiplier(std::uint32_t factor) {
    for (std::size_t place = 0; place < tables_.size(); ++place) {
      for (std::uint32_t byte = 0; byte < 256; ++byte) {
        tables_[place][byte] = multiply(factor, byte << (8 * place));
      }
    }
  }
  constexpr std::uint32_t operator()(std::uint32_t crc) const {
    return tables_[0][crc & 0xFFU] ^ tables_[1][(crc >> 8U) & 0xFFU] ^ tables_[2][(crc >> 16U) & 0xFFU] ^
           tables_[3][crc >> 24U];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> tables_{};
};

}  // namespace stella::crc32c_sets
