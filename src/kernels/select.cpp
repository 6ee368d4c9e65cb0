#include "base/cpu.hpp"
#include "base/immortal.hpp"
#include "kernels/kernels.hpp"
#include "kernels/packed_matrix.hpp"
#include "kernels/sets.hpp"
#include "stella/error.hpp"

#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace stella::kernels {
namespace {

#if defined(__x86_64__)
/// Asks the kernel for the use of tile registers; it may refuse, in a container for example.
bool tiles_permitted() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

/// The variants this processor runs; built once, and never moved afterwards.
std::vector<Kernels> find_runnable() {
  std::vector<Kernels> found;
#if defined(__x86_64__)
  const CpuFeatures& cpu = cpu_features();
  if (cpu.avx512 && cpu.avx512_vnni) {
    Kernels set = kAvx512Kernels;
    set.name = cpu.avx512_bf16 ? "avx512-vnni-bf16" : "avx512-vnni";
    set.int16 = kAvx512VnniInt16;
    set.int8 = kAvx512VnniInt8;
    set.int16_attention = kAvx512VnniAttention;
    set.low_attention = kAvx512VnniAttention;
    if (cpu.avx512_bf16) set.bf16 = kAvx512Bf16;
    found.push_back(set);
    if (cpu.avx512_bf16 && cpu.amx_bf16 && cpu.amx_int8 && tiles_permitted()) {
      set.name = "avx512-amx";
      set.bf16 = kAmxBf16;
      set.int8 = kAmxInt8;
      set.low_attention = kAmxAttention;
      found.insert(found.begin(), set);
    }
  }
  if (cpu.avx512) found.push_back(kAvx512Kernels);
  if (cpu.avx2 && cpu.avx_vnni) {
    Kernels set = kAvx2Kernels;
    set.name = "avx2-vnni";
    set.int16 = kAvxVnniInt16;
    set.int8 = kAvxVnniInt8;
    set.int16_attention = kAvxVnniAttention;
    set.low_attention = kAvxVnniAttention;
    found.push_back(set);
  }
  if (cpu.avx2) found.push_back(kAvx2Kernels);
#endif
  found.push_back(kPortableKernels);
  return found;
}

}  // namespace

std::span<const Kernels* const> runnable_kernels() {
  static const Immortal<std::vector<Kernels>> kernels(find_runnable());
  static const Immortal<std::vector<const Kernels*>> pointers([] {
    std::vector<const Kernels*> list;
    for (const Kernels& set : *kernels) list.push_back(&set);
    return list;
  }());
  return *pointers;
}

const Kernels& select(KernelSet wanted) {
  for (const Kernels* kernels : runnable_kernels()) {
    if (wanted == KernelSet::automatic || kernels->set == wanted) return *kernels;
  }
  throw Error(Errc::unsupported_processor, std::string("this processor cannot run the kernel set \"") +
                                               to_string(wanted) + "\"; use \"auto\" or \"portable\"");
}

KernelSet kernel_set_of(const Kernels& kernels) noexcept {
  return kernels.set;
}

const char* name_of(const Kernels& kernels) noexcept {
  return kernels.name;
}

const GemmOps& gemm_ops(const Kernels& kernels, Precision precision) {
  const GemmOps* ops = precision == Precision::f32     ? &kernels.f32
                       : precision == Precision::bf16  ? &kernels.bf16
                       : precision == Precision::int16 ? &kernels.int16
                       : precision == Precision::int8  ? &kernels.int8
                                                       : nullptr;
  if (ops == nullptr || ops->multiply == nullptr) {
    throw Error(Errc::unsupported_processor, std::string("the kernel set \"") + to_string(kernels.set) +
                                                 "\" has no precision \"" + to_string(precision) + "\"; use \"f32\"");
  }
  return *ops;
}

bool supports(const Kernels& kernels, Precision precision) noexcept {
  switch (precision) {
    case Precision::f32:
      return kernels.f32.multiply != nullptr;
    case Precision::bf16:
      return kernels.bf16.multiply != nullptr;
    case Precision::int16:
      return kernels.int16.multiply != nullptr;
    case Precision::int8:
      return kernels.int8.multiply != nullptr;
    case Precision::automatic:
      break;
  }
  return false;
}

}  // namespace stella::kernels
