// Addresses made fit to be shown.
#pragma once

#include <cstddef>
#include <string>

namespace stella {

/// All but "user:password@". (hub::redacted() leaves the query out, too.)
inline std::string without_password(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::size_t host = scheme == std::string::npos ? 0 : scheme + 3;
  const std::size_t at = url.rfind('@', url.find_first_of("/?#", host));
  return at == std::string::npos || at < host ? url : url.substr(0, host) + url.substr(at + 1);
}

}  // namespace stella
