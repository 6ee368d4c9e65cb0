#include "base/crc32c.hpp"

#include "base/cpu.hpp"

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace stella {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// The definition, a bit at a time.
std::uint32_t slowly(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int i = 0; i < 8; ++i) crc = (crc & 1U) != 0 ? (crc >> 1U) ^ 0x82F63B78U : crc >> 1U;
  }
  return ~crc;
}

std::vector<std::byte> noise(std::size_t size) {
  std::mt19937 random(7);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::vector<crc32c_sets::Function> functions() {
  std::vector<crc32c_sets::Function> all{&crc32c, &crc32c_sets::portable};
  if (crc32c_sets::sse42() != nullptr && cpu_features().sse42) all.push_back(crc32c_sets::sse42());
  return all;
}

TEST(Crc32c, HasThePublishedValues) {
  const std::vector<std::byte> zeros(32);
  const std::vector<std::byte> ones(32, std::byte{0xFF});
  for (const auto function : functions()) {  // RFC 3720, B.4; and the usual check value
    EXPECT_EQ(function(bytes_of("123456789"), 0), 0xE3069283U);
    EXPECT_EQ(function(zeros, 0), 0x8A9136AAU);
    EXPECT_EQ(function(ones, 0), 0x62A8AB43U);
    EXPECT_EQ(function({}, 0), 0U);
  }
}

TEST(Crc32c, IsThatOfTheDefinitionForAllSizesAndPlaces) {
  const std::vector<std::byte> all = noise(40'000);
  for (const std::size_t size : {1U, 7U, 8U, 63U, 4096U, 12'287U, 12'288U, 12'289U, 24'577U, 39'990U}) {
    for (const std::size_t at : {0U, 1U, 5U}) {
      const auto bytes = std::span(all).subspan(at, size);
      for (const auto function : functions()) EXPECT_EQ(function(bytes, 0), slowly(bytes)) << size << " " << at;
    }
  }
}

TEST(Crc32c, GoesOnWhereAnotherEndedAndCombines) {
  const std::vector<std::byte> all = noise(30'000);
  const std::uint32_t whole = crc32c(all);
  for (const std::size_t cut : {0U, 1U, 8U, 64U, 12'345U, 29'999U, 30'000U}) {
    const auto first = std::span(all).first(cut);
    const auto second = std::span(all).subspan(cut);
    for (const auto function : functions()) EXPECT_EQ(function(second, function(first, 0)), whole) << cut;
    EXPECT_EQ(crc32c_combine(crc32c(first), crc32c(second), second.size()), whole) << cut;
  }
}

}  // namespace
}  // namespace stella
