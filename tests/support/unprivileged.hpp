// File permissions that count, also where a test runs as root. Header only.
#pragma once

#include <sys/fsuid.h>
#include <sys/types.h>

namespace stella::test {

/// Acts on the file system as an unprivileged user where the test runs as root; threads made meanwhile inherit it.
class Unprivileged {
 public:
  Unprivileged() : old_(static_cast<uid_t>(setfsuid(65534))) {}
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  ~Unprivileged() { setfsuid(old_); }

 private:
  uid_t old_;
};

}  // namespace stella::test
