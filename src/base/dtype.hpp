// Element types of stored tensors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stella {

/// The element types of weights that this library reads.
enum class DType : std::uint8_t { f32, f16, bf16 };

constexpr std::size_t size_of(DType type) noexcept {
  return type == DType::f32 ? 4 : 2;
}

}  // namespace stella
