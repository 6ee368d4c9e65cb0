// SHA-256 of bytes given in order (FIPS 180-4), by OpenSSL, which uses the processor's instructions for it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;

namespace stella {

/// Not thread-safe.
class Sha256 {
 public:
  using Digest = std::array<std::byte, 32>;

  Sha256();
  void update(std::span<const std::byte> bytes);
  /// Once, at the end.
  Digest digest();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

/// Lowercase hexadecimal.
std::string to_hex(std::span<const std::byte> bytes);

/// Of a text, in lowercase hexadecimal.
std::string sha256_hex(const std::string& text);

}  // namespace stella
