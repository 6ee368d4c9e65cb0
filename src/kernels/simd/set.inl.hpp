// Everything that a set is made of, in the order in which the parts need each other. The including file has chosen the
// vector type before.
#pragma once

// clang-format off
#include "kernels/table.hpp"
#include "kernels/simd/math.inl.hpp"
#include "kernels/simd/gemm.inl.hpp"
#include "kernels/simd/gemm_low.inl.hpp"
#include "kernels/simd/attention.inl.hpp"
#include "kernels/simd/rows.inl.hpp"
// clang-format on

namespace stella::kernels {
namespace {

constexpr Kernels make_kernels(KernelSet set, const char* name) {
  Kernels kernels;
  kernels.set = set;
  kernels.name = name;
  kernels.f32 = f32_ops();
  kernels.bf16 = low_ops<DotWide>(pack_rows_f32);
  kernels.bf16.k_multiple = 1;
  kernels.int16 = low_ops<DotInt16<PlainStep>>(pack_rows_integer<PutInt16, 256>);
  kernels.int8 = low_ops<DotInt8Wide<PlainStep>>(pack_rows_integer<PutInt8Wide, 256>);
  kernels.int8.integer_accumulators = true;
  kernels.attention = attention_ops();
  kernels.layer_norm = layer_norm;
  kernels.rms_norm = rms_norm;
  kernels.mean_rows = mean_rows;
  kernels.to_f32 = to_f32;
  kernels.add_in_place = add_in_place;
  return kernels;
}

}  // namespace
}  // namespace stella::kernels
