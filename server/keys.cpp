#include "server/keys.hpp"

#include "base/ascii.hpp"
#include "base/sha.hpp"

#include <span>

namespace stella::server {
namespace {

std::array<std::byte, 32> digest_of(std::string_view key) {
  Sha256 sha;
  sha.update(std::as_bytes(std::span(key)));
  return sha.digest();
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(digest_of(key));
}

std::string ApiKeys::client_of(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  if (to_lower(authorization.substr(0, kScheme.size())) != kScheme) return {};
  const auto given = digest_of(trim(authorization.substr(kScheme.size())));
  bool found = false;
  for (const auto& digest : digests_) {
    std::byte difference{};
    for (std::size_t i = 0; i < digest.size(); ++i) difference |= digest[i] ^ given[i];
    found |= difference == std::byte{};
  }
  return found ? "key:" + to_hex(std::span(given).first(8)) : std::string();
}

std::vector<std::string> keys_of_text(std::string_view text) {
  std::vector<std::string> keys;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    if (!line.empty() && !line.starts_with('#')) keys.emplace_back(line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return keys;
}

}  // namespace stella::server
