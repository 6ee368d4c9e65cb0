// Which requests go through a proxy: HTTP_PROXY and NO_PROXY as Python's clients read them.
#pragma once

#include <string>
#include <string_view>

namespace stella {
struct HubOptions;
}

namespace stella::hub {

/// Whether libcurl can use `text` as the address of a proxy: host, host:port, or scheme://[user:password@]host[:port]
/// with http, https, socks4, socks4a, socks5 or socks5h.
bool is_proxy(const std::string& text);

/// Whether one of the entries, separated by commas or spaces, covers the address: *, a host or a domain with all below
/// it (with or without a leading dot or "*."), an IP address, a network (10.0.0.0/8, fd00::/8), each also with a port.
bool bypasses_proxy(std::string_view no_proxy, const std::string& url);

/// The proxy for `url`; empty: none.
std::string proxy_for(const HubOptions& options, const std::string& url);

}  // namespace stella::hub
