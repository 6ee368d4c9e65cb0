// The integer products of processors with VNNI: one instruction multiplies pairs of int16 (VPDPWSSD) or fours of bytes
// (VPDPBUSD, unsigned times signed) and adds them to int32. The including file has chosen the vector type and defined
// VnniStep before.
#pragma once

// clang-format off
#include "kernels/table.hpp"
#include "kernels/simd/math.inl.hpp"
#include "kernels/simd/gemm.inl.hpp"
#include "kernels/simd/gemm_low.inl.hpp"
#include "kernels/simd/attention.inl.hpp"
#include "kernels/simd/attention_int16.inl.hpp"
// clang-format on

namespace stella::kernels {
namespace {

/// Activations are stored 128 higher, as the instruction wants one side unsigned; sums start 128 times the weights'
/// sum lower to make up for it.
struct DotInt8 {
  static constexpr std::size_t kKc = 512;
  static constexpr std::size_t kGroup = 4;
  static constexpr std::size_t kAElement = 1;
  static constexpr std::size_t kAStride = kKc / kGroup;
  static constexpr std::size_t kColumnBytes = 4 * Vec::kWidth;
  using Activation = std::int32_t;
  using Sum = IntVec;
  using Column = IntVec;
  static IntVec start(const float* c, bool first, const std::int32_t* sums, std::size_t offset) {
    return first ? minus_128_times(sums + offset) : load_raw(c);
  }
  static IntVec column(const unsigned char* b) { return load_int16(b); }
  static IntVec row(const std::int32_t* a) { return int_all(*a); }
  static IntVec add(IntVec sum, IntVec x, IntVec column) { return VnniStep::add_bytes(sum, x, column); }
  static void finish(float* c, IntVec sum, bool) { store_raw(c, sum); }
};

struct PutUint8 {
  using Element = std::uint8_t;
  static constexpr float kLimit = 127;
  static constexpr int kZero = 128;
  static void at(Element* out, Vec value) { store_uint8(out, value); }
};

constexpr GemmOps int16_vnni_ops() {
  return low_ops<DotInt16<VnniStep>>(pack_rows_integer<PutInt16, DotInt16<VnniStep>::kKc>);
}

constexpr GemmOps int8_vnni_ops() {
  GemmOps ops = low_ops<DotInt8>(pack_rows_integer<PutUint8, DotInt8::kKc>);
  ops.integer_accumulators = true;
  return ops;
}

}  // namespace
}  // namespace stella::kernels
