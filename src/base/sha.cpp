#include "base/sha.hpp"

#include "stella/error.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace stella {
namespace {

void check(int result) {
  if (result != 1) throw Error(Errc::io_error, "OpenSSL cannot compute sha1 or sha256 here");
}

}  // namespace

template <std::size_t kBytes>
Sha<kBytes>::Sha() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  check(context_ ? EVP_DigestInit_ex(context_.get(), kBytes == 20 ? EVP_sha1() : EVP_sha256(), nullptr) : 0);
}

template <std::size_t kBytes>
void Sha<kBytes>::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

template <std::size_t kBytes>
typename Sha<kBytes>::Digest Sha<kBytes>::digest() {
  Digest digest{};
  check(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr));
  return digest;
}

template class Sha<20>;
template class Sha<32>;

void prepare_hashing() {
  OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS, nullptr);  // with no option it does nothing, and registers nothing
}

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += kDigits[std::to_integer<unsigned>(byte) >> 4U];
    hex += kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return hex;
}

std::string sha256_hex(const std::string& text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return to_hex(hash.digest());
}

}  // namespace stella
