#include "kernel_choice.hpp"

#include "stella/error.hpp"

#include <cstring>
#include <iterator>
#include <string>

#if defined(__x86_64__) && defined(__linux__)
#include <cerrno>
#include <cstddef>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

namespace stella::bench {
namespace {

/// The library asks the kernel for the use of tiles and does without where that is refused. Here it is refused, as some
/// containers do, so that no option of the library has to exist for it.
void refuse_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kRequestPermission, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    throw Error(Errc::unsupported_processor, std::string("cannot do without AMX: ") + std::strerror(errno));
  }
#endif
}

}  // namespace

KernelSet choose_kernels(const std::string& name) {
  if (name != "no-amx") return parse_kernel_set(name);
  refuse_tiles();
  return KernelSet::automatic;
}

}  // namespace stella::bench
