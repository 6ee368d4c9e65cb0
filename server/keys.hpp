// Who may ask.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace stella::server {

/// The keys, as hashes: how long a comparison takes says nothing of them. Thread-safe once made.
class ApiKeys {
 public:
  explicit ApiKeys(const std::vector<std::string>& keys);

  bool empty() const noexcept { return digests_.empty(); }
  /// Whether `authorization`, the field's value, is "Bearer " and one of the keys.
  bool accepts(std::string_view authorization) const { return !client_of(authorization).empty(); }
  /// A name for whoever has that key, which does not tell the key: the same in every process. Empty for none of them.
  std::string client_of(std::string_view authorization) const;

 private:
  std::vector<std::array<std::byte, 32>> digests_;
};

/// Keys of a file with one a line; empty lines and those that begin with '#' do not count.
std::vector<std::string> keys_of_text(std::string_view text);

}  // namespace stella::server
