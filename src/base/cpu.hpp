// What this processor can run.
#pragma once

#include <cstddef>
#include <string>

namespace stella {

/// Instruction sets present and enabled by the operating system.
struct CpuFeatures {
  bool sse42 = false;
  bool avx2 = false;  // with FMA and F16C
  bool avx_vnni = false;
  bool avx512 = false;  // F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx_bf16 = false;  // the processor's flag; the kernel's permission is asked for at first use
  bool amx_int8 = false;
  std::string model;  // the processor's name, or "unknown"
  std::size_t l1d_bytes = 32 * 1024;
  std::size_t l2_bytes = 1024 * 1024;
};

/// Detected once; thread-safe.
const CpuFeatures& cpu_features();

}  // namespace stella
