// The two hashes that the hub announces in its etags, computed over bytes given in order.
#pragma once

#include "base/sha.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

namespace stella::hub {

/// An etag of 64 digits is sha256(content), one of 40 is sha1("blob {size}\0" + content), git's name of the content.
/// Not thread-safe.
class Hasher {
 public:
  /// `etag` decides the kind.
  Hasher(const std::string& etag, std::uint64_t size);

  void update(std::span<const std::byte> bytes);
  /// Lowercase hexadecimal; once, at the end.
  std::string digest();

 private:
  std::variant<Sha256, Sha1> hash_;
};

}  // namespace stella::hub
