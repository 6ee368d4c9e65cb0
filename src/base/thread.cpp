#include "base/thread.hpp"

#include "stella/error.hpp"

#include <array>
#include <cstring>
#include <pthread.h>
#include <string>
#include <system_error>
#include <utility>

namespace stella {
namespace {

thread_local ThreadKind current_kind = ThreadKind::callers;

}  // namespace

ThreadKind this_thread_kind() noexcept {
  return current_kind;
}

std::thread start_thread(const char* name, UniqueFunction<void()> body, ThreadKind kind) {
  std::array<char, 16> label{};
  std::strncpy(label.data(), name, label.size() - 1);
  try {
    return std::thread([label, kind, body = std::move(body)]() mutable {
      ::pthread_setname_np(::pthread_self(), label.data());
      current_kind = kind;
      body();
    });
  } catch (const std::system_error& error) {
    throw Error(Errc::resource_limit, "cannot start a thread (" + error.code().message() +
                                          "); raise the limit on processes (ulimit -u, or the container's pids limit) "
                                          "or free some memory");
  }
}

}  // namespace stella
