// SHA-1 and SHA-256 of bytes given in order (FIPS 180-4), by OpenSSL, which uses the processor's instructions for them.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;

namespace stella {

/// SHA-1 has 20 bytes, SHA-256 has 32. Not thread-safe. Throws Error(io_error) where OpenSSL is set up to refuse the
/// hash.
template <std::size_t kBytes>
class Sha {
 public:
  using Digest = std::array<std::byte, kBytes>;

  Sha();
  void update(std::span<const std::byte> bytes);
  /// Once, at the end.
  Digest digest();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

using Sha1 = Sha<20>;
using Sha256 = Sha<32>;

/// Sets OpenSSL up, whose own atexit() handler then comes before those that are registered from here on, and so runs
/// after them.
void prepare_hashing();

/// Lowercase hexadecimal.
std::string to_hex(std::span<const std::byte> bytes);

/// Of a text, in lowercase hexadecimal.
std::string sha256_hex(const std::string& text);

}  // namespace stella
