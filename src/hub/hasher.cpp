#include "hub/hasher.hpp"

#include "base/sha256.hpp"
#include "stella/error.hpp"

#include <array>

#include <openssl/evp.h>

namespace stella::hub {
namespace {

void check(int result) {
  if (result != 1) throw Error(Errc::io_error, "OpenSSL cannot compute sha1 or sha256 here");
}

}  // namespace

Hasher::Hasher(const std::string& etag, std::uint64_t size) : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
  const bool is_git = etag.size() == 40;
  check(context_ ? EVP_DigestInit_ex(context_.get(), is_git ? EVP_sha1() : EVP_sha256(), nullptr) : 0);
  if (is_git) {
    const std::string header = "blob " + std::to_string(size);
    update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
  }
}

void Hasher::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::string Hasher::digest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned length = 0;
  check(EVP_DigestFinal_ex(context_.get(), bytes.data(), &length));
  return to_hex(std::as_bytes(std::span(bytes).first(length)));
}

}  // namespace stella::hub
