// The processor's crc32 instruction: one every cycle, with its result three cycles later, so three streams side by
// side.
#include "base/crc32c.hpp"
#include "base/crc32c_tables.hpp"

#include <cstring>
#include <nmmintrin.h>

namespace stella::crc32c_sets {
namespace {

constexpr std::size_t kStream = 4096;  // bytes of each of the three
constexpr std::size_t kWord = sizeof(std::uint64_t);

std::uint64_t load(const std::byte* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

std::uint32_t compute(std::span<const std::byte> bytes, std::uint32_t before) {
  static const Multiplier behind_two(power(2 * kStream));
  static const Multiplier behind_one(power(kStream));
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t crc = ~before;
  for (; left >= 3 * kStream; left -= 3 * kStream, at += 3 * kStream) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kStream; i += kWord) {
      crc = _mm_crc32_u64(crc, load(at + i));
      second = _mm_crc32_u64(second, load(at + kStream + i));
      third = _mm_crc32_u64(third, load(at + 2 * kStream + i));
    }
    crc = behind_two(static_cast<std::uint32_t>(crc)) ^ behind_one(static_cast<std::uint32_t>(second)) ^ third;
  }
  for (; left >= kWord; left -= kWord, at += kWord) crc = _mm_crc32_u64(crc, load(at));
  auto rest = static_cast<std::uint32_t>(crc);
  for (; left > 0; --left, ++at) rest = _mm_crc32_u8(rest, std::to_integer<std::uint8_t>(*at));
  return ~rest;
}

}  // namespace

Function sse42() noexcept {
  return &compute;
}

}  // namespace stella::crc32c_sets
