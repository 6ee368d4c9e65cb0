#include "server/tls.hpp"

#include "base/file.hpp"
#include "stella/error.hpp"

#include <boost/asio/buffer.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace stella::server {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

[[noreturn]] void refuse(const std::string& what) {
  ::ERR_clear_error();
  throw Error(Errc::invalid_argument, what);
}

std::string read_file(const char* option, const std::string& path) {
  try {
    return read_text_file(path);
  } catch (const Error& error) {
    refuse("cannot read " + std::string(option) + " '" + path + "': " + error.what() + "; give a PEM file");
  }
}

}  // namespace

std::shared_ptr<ssl::context> make_tls(const std::string& certificate, const std::string& key) {
  const auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 |
                       ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);  // many connections idle
  error_code error;
  // Without it OpenSSL would ask for the password at the terminal.
  context->set_password_callback([](std::size_t, ssl::context::password_purpose) { return std::string(); }, error);
  const std::string chain = read_file("--tls-cert", certificate);
  context->use_certificate_chain(boost::asio::buffer(chain), error);
  if (error)
    refuse("--tls-cert '" + certificate + "' has no certificate: " + error.message() +
           "; give a PEM file that begins with the server's");
  const std::string secret = read_file("--tls-key", key);
  context->use_private_key(boost::asio::buffer(secret), ssl::context::pem, error);
  const bool matches = ::X509_check_private_key(::SSL_CTX_get0_certificate(context->native_handle()),
                                                ::SSL_CTX_get0_privatekey(context->native_handle())) == 1;
  if (error && error.message().find("key values mismatch") == std::string::npos)
    refuse("--tls-key '" + key + "' has no key that can be read: " + error.message() +
           "; give a PEM file with the key, not encrypted");
  if (error || !matches)
    refuse("--tls-key '" + key + "' is not the key of --tls-cert '" + certificate +
           "'; give the key that belongs to it");
  return context;
}

}  // namespace stella::server
