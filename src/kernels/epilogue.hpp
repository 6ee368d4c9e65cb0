// What a matrix product does to its accumulators before they are stored.
#pragma once

#include <cstdint>

namespace stella::kernels {

enum class Epilogue : std::uint8_t {
  none,      ///< y = x Wᵀ (+ bias) (+ residual)
  gelu,      ///< y = gelu(x Wᵀ + bias), erf form
  glu_gelu,  ///< W interleaved (up, gate): y (m, n/2) = up · gelu(gate)
  glu_silu,  ///< W interleaved (up, gate): y (m, n/2) = up · silu(gate)
};

}  // namespace stella::kernels
