// Everything that a set is made of, in the order in which the parts need each other. The including file has chosen the
// vector type before.
#pragma once

// clang-format off
#include "kernels/table.hpp"
#include "kernels/simd/math.inl.hpp"
#include "kernels/simd/gemm.inl.hpp"
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
