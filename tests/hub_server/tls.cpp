#include "tls.hpp"

#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace stella::test {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Cert = std::unique_ptr<X509, decltype(&X509_free)>;

Key make_key() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  if (!key) {
    throw std::runtime_error("hub server: OpenSSL could not make a key");
  }
  return key;
}

void add_extension(X509* cert, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

/// A certificate for `key`; `issuer` null: an authority that signs itself.
Cert make_cert(EVP_PKEY* key, const char* name, const char* subject_alt, X509* issuer, EVP_PKEY* issuer_key) {
  Cert cert(X509_new(), X509_free);
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), issuer == nullptr ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 24L * 3600);
  X509_set_pubkey(cert.get(), key);
  X509_NAME* subject = X509_get_subject_name(cert.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509* signer = issuer == nullptr ? cert.get() : issuer;
  X509_set_issuer_name(cert.get(), X509_get_subject_name(signer));
  if (issuer == nullptr) {
    add_extension(cert.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert.get(), signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(cert.get(), signer, NID_subject_key_identifier, "hash");
  } else {
    add_extension(cert.get(), signer, NID_subject_alt_name, subject_alt);
    add_extension(cert.get(), signer, NID_authority_key_identifier, "keyid");
  }
  X509_sign(cert.get(), issuer == nullptr ? key : issuer_key, EVP_sha256());
  return cert;
}

std::string pem(X509* cert) {
  std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(memory.get(), cert);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

}  // namespace

TlsIdentity make_tls_identity(Tls kind) {
  const Key known_key = make_key();
  const Cert known = make_cert(known_key.get(), "hub test authority", nullptr, nullptr, nullptr);
  const Key other_key = make_key();
  const Cert other = make_cert(other_key.get(), "unknown authority", nullptr, nullptr, nullptr);
  const bool untrusted = kind == Tls::untrusted;

  const Key key = make_key();
  const char* names = kind == Tls::wrong_host ? "DNS:hub.invalid" : "IP:127.0.0.1,DNS:localhost";
  const Cert cert = make_cert(key.get(), "hub test server", names, untrusted ? other.get() : known.get(),
                              untrusted ? other_key.get() : known_key.get());

  TlsIdentity identity;
  identity.context.reset(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX* context = identity.context.get();
  if (context == nullptr || SSL_CTX_use_certificate(context, cert.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    throw std::runtime_error("hub server: OpenSSL refused the certificate just made");
  }
  identity.ca_pem = pem(known.get());
  return identity;
}

}  // namespace stella::test
