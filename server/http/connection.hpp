// One connection: reads a request, has it answered, writes the answer, and so on.
#pragma once

#include "server/http/connections.hpp"
#include "server/http/stream.hpp"
#include "server/service.hpp"

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>

namespace stella::server {

/// Serves the connection to its end. `peer`: whom it is with. `tls` may be null.
boost::asio::awaitable<void> serve_connection(Socket socket, std::shared_ptr<boost::asio::ssl::context> tls,
                                              std::string peer, std::shared_ptr<Service> service,
                                              std::shared_ptr<Connections::Entry> entry);

}  // namespace stella::server
