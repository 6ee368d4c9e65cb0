// What the tests of the kernels share: random data, rounding of weights, every set of kernels as a test parameter.
#pragma once

#include "kernels/kernels.hpp"
#include "kernels/sets.hpp"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stella::kernels {

inline std::vector<float> random_floats(std::size_t n, unsigned seed, float scale = 1.0F) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(n);
  for (float& value : values) value = normal(engine);
  return values;
}

/// A stored matrix, and what its elements are worth.
struct Stored {
  std::vector<std::byte> bytes;
  std::vector<float> values;  // (n, k)
  MatrixSource source;
};

inline std::uint32_t bits_of(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float float_of(std::uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// Random weights stored as `type`. For f16, values are small multiples of 2^-12, which f16 holds exactly.
inline Stored random_stored(std::size_t n, std::size_t k, DType type, unsigned seed) {
  Stored stored;
  stored.values = random_floats(n * k, seed, 0.05F);
  stored.bytes.resize(n * k * size_of(type));
  for (std::size_t i = 0; i < n * k; ++i) {
    float& value = stored.values[i];
    if (type == DType::f32) {
      std::memcpy(&stored.bytes[i * 4], &value, 4);
    } else if (type == DType::bf16) {
      value = float_of(bits_of(value) & 0xffff0000U);
      const auto half = static_cast<std::uint16_t>(bits_of(value) >> 16U);
      std::memcpy(&stored.bytes[i * 2], &half, 2);
    } else {
      // |value| in [2^-12, 1): normal in f16, so the exponent is rebased from 127 to 15 and 13 bits fall off.
      value = std::copysign(std::min(std::max(std::fabs(value), 0x1p-12F), 0.99F), value);
      value = float_of(bits_of(value) & 0xffffe000U);
      const std::uint32_t bits = bits_of(value);
      const auto half =
          static_cast<std::uint16_t>(((bits >> 16U) & 0x8000U) | (((bits & 0x7fffffffU) >> 13U) - (112U << 10U)));
      std::memcpy(&stored.bytes[i * 2], &half, 2);
    }
  }
  stored.source = {stored.bytes.data(), type, n, k};
  return stored;
}

/// Tests that run with each set of kernels this processor has.
class EverySet : public testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels() const { return *GetParam(); }
};

inline std::string set_name(const testing::TestParamInfo<const Kernels*>& info) {
  std::string name = info.param->name;
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
}

}  // namespace stella::kernels

#define STELLA_FOR_EVERY_SET(suite)                                                                              \
  INSTANTIATE_TEST_SUITE_P(                                                                                      \
      Sets, suite,                                                                                               \
      testing::ValuesIn(stella::kernels::runnable_kernels().begin(), stella::kernels::runnable_kernels().end()), \
      stella::kernels::set_name)
