#include "cli/descriptors.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace stella::cli {

void fill_standard_streams() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest that is free, which is this one. The wrong way round, so that using it is an error and not a silent
    // loss, and so that is_missing() knows it.
    const int way = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", way) < 0) static_cast<void>(::open("/", O_PATH));
  }
}

bool is_missing(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || (flags & O_PATH) != 0) return true;
  return (flags & O_ACCMODE) == (descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

}  // namespace stella::cli
