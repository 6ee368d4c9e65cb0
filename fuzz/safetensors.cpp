// The header of a safetensors file; the index of a sharded one.
#include "weights/safetensors.hpp"

#include "fuzz.hpp"
#include "weights/tensors.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <span>

using namespace stella;
using fuzz::check;

namespace {

void check_entries(std::vector<weights::SafetensorsEntry> entries, std::span<const std::byte> bytes) {
  std::uint64_t header = 0;
  check(bytes.size() >= 8, "a file has a header");
  std::memcpy(&header, bytes.data(), 8);
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::set<std::string> names;
  std::size_t at = 8 + header;
  for (const auto& entry : entries) {
    check(names.insert(entry.name).second, "names are unique");
    check(entry.begin == at && entry.end >= entry.begin, "tensors lie end to end");
    at = entry.end;
    if (!entry.type) continue;
    std::size_t count = 1;
    for (const std::size_t size : entry.shape)
      check(!__builtin_mul_overflow(count, size, &count), "a shape has a size");
    check(count * size_of(*entry.type) == entry.end - entry.begin, "a tensor has the bytes of its shape");
  }
  check(at == bytes.size(), "tensors end with the file");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  fuzz::holds_or_throws([&] { check_entries(weights::read_safetensors_header(bytes, "model.safetensors"), bytes); });
  fuzz::holds_or_throws([&] {
    for (const std::string& name : weights::shard_names(fuzz::text_of(data, size), "model.safetensors.index.json")) {
      check(name.find("..") == std::string::npos || name.find('/') == std::string::npos,
            "a shard lies beside its index");
      check(!name.empty() && name.front() != '/', "a shard's name is relative");
    }
  });
  return 0;
}
