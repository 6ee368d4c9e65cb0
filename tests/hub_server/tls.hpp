// Certificates for the hub's TLS, made anew for each server.
#pragma once

#include "hub_server.hpp"

#include <memory>
#include <string>

using SSL_CTX = struct ssl_ctx_st;

namespace stella::test {

struct TlsIdentity {
  std::shared_ptr<SSL_CTX> context{};
  std::string ca_pem{};  ///< The authority that tests may trust.
};

/// A server identity for 127.0.0.1 and localhost (Tls::wrong_host: for another name). `kind` is not Tls::off.
TlsIdentity make_tls_identity(Tls kind);

}  // namespace stella::test
