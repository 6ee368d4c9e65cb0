#include "hub/cache/hasher.hpp"

namespace stella::hub {

Hasher::Hasher(const std::string& etag, std::uint64_t size) {
  if (etag.size() != 40) return;
  hash_.emplace<Sha1>();
  const std::string header = "blob " + std::to_string(size);
  update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
}

void Hasher::update(std::span<const std::byte> bytes) {
  std::visit([&](auto& hash) { hash.update(bytes); }, hash_);
}

std::string Hasher::digest() {
  return std::visit([](auto& hash) { return to_hex(hash.digest()); }, hash_);
}

}  // namespace stella::hub
