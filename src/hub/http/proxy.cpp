#include "hub/http/proxy.hpp"

#include "base/ascii.hpp"
#include "hub/http/url.hpp"
#include "stella/hub.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <sys/socket.h>
#include <vector>

#include <curl/curl.h>

namespace stella::hub {
namespace {

using Bytes = std::vector<unsigned char>;

// The bytes of an IPv4 or IPv6 address; empty for a name.
Bytes address_of(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.begin() + 4};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.end()};
  return {};
}

bool shares_bits(std::span<const unsigned char> a, std::span<const unsigned char> b, std::size_t bits) {
  for (std::size_t i = 0; i < bits; ++i) {
    const unsigned mask = 0x80U >> (i % 8);
    if ((a[i / 8] & mask) != (b[i / 8] & mask)) return false;
  }
  return true;
}

bool is_in_network(const Bytes& host, std::string_view network) {
  const std::size_t slash = network.find('/');
  if (slash == std::string_view::npos || host.empty()) return false;
  const Bytes base = address_of(std::string(network.substr(0, slash)));
  const auto bits = parse_number(network.substr(slash + 1));
  return base.size() == host.size() && bits && *bits <= 8 * host.size() &&
         shares_bits(host, base, static_cast<std::size_t>(*bits));
}

std::string_view without_dots(std::string_view name) {
  while (name.ends_with('.')) name.remove_suffix(1);
  return name;
}

// "host", "host:port", "[v6]", "[v6]:port", "v6".
struct Entry {
  std::string_view host;
  std::string_view port{};
};

Entry split(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return {text};
    const std::string_view rest = text.substr(close + 1);
    return {text.substr(1, close - 1), rest.starts_with(':') ? rest.substr(1) : std::string_view{}};
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) return {text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

bool covers(std::string_view entry, const Origin& origin, const Bytes& address) {
  if (const std::size_t scheme = entry.find("://"); scheme != std::string_view::npos) {
    if (entry.substr(0, scheme) != origin.scheme && entry.substr(0, scheme) != "all") return false;
    entry.remove_prefix(scheme + 3);
  }
  if (is_in_network(address, entry)) return true;
  Entry wanted = split(entry);
  if (!wanted.port.empty() && wanted.port != origin.port) return false;
  if (wanted.host == "*") return true;
  if (wanted.host.starts_with("*.")) wanted.host.remove_prefix(1);
  while (wanted.host.starts_with('.')) wanted.host.remove_prefix(1);
  wanted.host = without_dots(wanted.host);
  if (wanted.host.empty()) return false;
  if (!address.empty()) return address_of(std::string(wanted.host)) == address;
  const std::string_view host = without_dots(origin.host);
  if (!host.ends_with(wanted.host)) return false;
  const std::string_view below = host.substr(0, host.size() - wanted.host.size());
  return below.empty() || below.ends_with('.');
}

}  // namespace

bool is_proxy(const std::string& text) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
  const unsigned flags = CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME;
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), flags) != CURLUE_OK) return false;
  const std::size_t end = text.find("://");
  if (end == std::string::npos) return true;
  const std::string scheme = to_lower(text.substr(0, end));
  constexpr std::array kSchemes{"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
  return std::any_of(kSchemes.begin(), kSchemes.end(), [&](const char* one) { return scheme == one; });
}

bool bypasses_proxy(std::string_view no_proxy, const std::string& url) {
  std::optional<Origin> origin = origin_of(url);
  if (!origin) return false;
  if (origin->host.starts_with('[') && origin->host.ends_with(']')) {
    origin->host = origin->host.substr(1, origin->host.size() - 2);
  }
  const Bytes address = address_of(origin->host);
  const std::string entries = to_lower(no_proxy);
  for (std::size_t begin = 0; begin < entries.size();) {
    const std::size_t end = std::min(entries.find_first_of(", \t\r\n", begin), entries.size());
    if (end > begin && covers(std::string_view(entries).substr(begin, end - begin), *origin, address)) return true;
    begin = end + 1;
  }
  return false;
}

std::string proxy_for(const HubOptions& options, const std::string& url) {
  if (bypasses_proxy(options.no_proxy, url)) return {};
  const bool secure = to_lower(url.substr(0, 6)) == "https:";
  return secure ? options.https_proxy : options.http_proxy;
}

}  // namespace stella::hub
