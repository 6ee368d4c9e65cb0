// Certificate and key of the server.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/ssl/context.hpp>

namespace stella::server {

/// TLS 1.2 and up with the certificate and its key, of PEM files. Throws Error(invalid_argument) that names the file
/// and says what to do.
std::shared_ptr<boost::asio::ssl::context> make_tls(const std::string& certificate, const std::string& key);

}  // namespace stella::server
