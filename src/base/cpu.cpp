#include "base/cpu.hpp"

#include "base/immortal.hpp"

#include <fstream>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

#if defined(__x86_64__)
struct CpuidLeaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// All zeros for a leaf that the processor does not have.
CpuidLeaf cpuid(unsigned leaf, unsigned subleaf) {
  CpuidLeaf answer;
  if (__get_cpuid_count(leaf, subleaf, &answer.eax, &answer.ebx, &answer.ecx, &answer.edx) == 0) return {};
  return answer;
}

bool bit(unsigned word, unsigned position) {
  return ((word >> position) & 1U) != 0;
}
#endif

CpuFeatures detect() {
  CpuFeatures f;
  f.model = model_name();
#if defined(__x86_64__)
  // The builtin also asks whether the system saves the registers; it knows the older names only, so the rest are bits
  // of the processor's own answer (Intel's manual, volume 2A, CPUID, leaves 1 and 7).
  __builtin_cpu_init();
  const CpuidLeaf basic = cpuid(1, 0);
  const CpuidLeaf extended = cpuid(7, 0);
  const CpuidLeaf newer = cpuid(7, 1);
  f.sse42 = __builtin_cpu_supports("sse4.2") != 0;
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && bit(basic.ecx, 29);
  f.avx_vnni = f.avx2 && bit(newer.eax, 4);
  f.avx512 = f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  f.avx512_vnni = f.avx512 && bit(extended.ecx, 11);
  f.avx512_bf16 = f.avx512 && bit(newer.eax, 5);
  f.amx_bf16 = f.avx512 && bit(extended.edx, 22);
  f.amx_int8 = f.avx512 && bit(extended.edx, 25);
#endif
  f.l1d_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, f.l1d_bytes);
  f.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, f.l2_bytes);
  return f;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const Immortal<CpuFeatures> features(detect());
  return *features;
}

}  // namespace stella
