#include "base/cpu.hpp"

#include <fstream>
#include <unistd.h>

namespace stella {
namespace {

std::string model_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      const std::size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::size_t cache_bytes(int name, std::size_t fallback) {
  const long size = ::sysconf(name);
  return size > 0 ? static_cast<std::size_t>(size) : fallback;
}

CpuFeatures detect() {
  CpuFeatures f;
  f.model = model_name();
#if defined(__x86_64__)
  __builtin_cpu_init();
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  f.avx_vnni = f.avx2 && __builtin_cpu_supports("avxvnni");
  f.avx512 = f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  f.avx512_vnni = f.avx512 && __builtin_cpu_supports("avx512vnni");
  f.avx512_bf16 = f.avx512 && __builtin_cpu_supports("avx512bf16");
  f.amx_bf16 = f.avx512 && __builtin_cpu_supports("amx-bf16");
  f.amx_int8 = f.avx512 && __builtin_cpu_supports("amx-int8");
#endif
  f.l1d_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, f.l1d_bytes);
  f.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, f.l2_bytes);
  return f;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace stella
