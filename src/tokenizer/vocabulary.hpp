// Tokens and their ids, both ways.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

/// What a table's hash depends on, drawn anew for each table: nobody can choose tokens that collide in it.
class HashSeed {
 public:
  HashSeed() noexcept;
  std::uint64_t a = 0x9E3779B97F4A7C15U;
  std::uint64_t b = 0xD6E8FEB86659FD93U;  // odd
};

/// A 64-bit hash of a few bytes (multiply and fold).
inline std::uint64_t hash_bytes(const HashSeed& seed, const char* data, std::size_t size) noexcept {
  const auto mix = [](std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  const auto load = [](const char* at, std::size_t bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, bytes);
    return word;
  };
  std::uint64_t hash = size * seed.b;
  for (; size > 16; data += 16, size -= 16) hash = mix(load(data, 8) ^ hash ^ seed.a, load(data + 8, 8) ^ seed.b);
  if (size >= 8) return mix(load(data, 8) ^ hash ^ seed.a, load(data + size - 8, 8) ^ seed.b);
  std::uint64_t tail = 0;
  if (size >= 4) {
    tail = load(data, 4) << 32 | load(data + size - 4, 4);
  } else if (size > 0) {
    const auto byte = [data](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(data[i])}; };
    tail = byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16;
  }
  return mix(tail ^ hash ^ seed.a, seed.b);
}

/// Tokens by id and ids by token. Const members are thread-safe.
class Vocabulary {
 public:
  /// Prepares for `tokens` tokens of `bytes` bytes in all.
  void reserve(std::size_t tokens, std::size_t bytes);
  /// A token that is there already gets the new id.
  void set(std::string_view token, std::int32_t id);

  /// -1 for a token that does not exist.
  std::int32_t find(std::string_view token) const noexcept { return find(token, hash(token)); }
  /// The same in two steps for many look-ups: the memory that the second needs is under way meanwhile.
  std::int32_t find(std::string_view token, std::uint64_t hash) const noexcept;
  std::uint64_t prefetch(std::string_view token) const noexcept {
    const std::uint64_t value = hash(token);
    if (!slots_.empty()) __builtin_prefetch(&slots_[value & (slots_.size() - 1)]);
    return value;
  }
  /// "" for an id that does not exist, at a null pointer.
  std::string_view token(std::int32_t id) const noexcept;
  /// Number of different tokens.
  std::size_t size() const noexcept { return entries_.size(); }

  /// Calls `use(token, id)` for every token.
  template <class Use>
  void for_each(Use&& use) const {
    for (const Entry& entry : entries_) use(text(entry), entry.id);
  }

 private:
  struct Entry {
    std::uint32_t offset;  // into text_
    std::uint32_t length;
    std::int32_t id;
  };
  struct Slot {
    std::uint32_t hash;   // upper half of the token's hash
    std::uint32_t entry;  // index + 1; 0: free
  };
  std::uint64_t hash(std::string_view token) const noexcept { return hash_bytes(seed_, token.data(), token.size()); }
  std::string_view text(const Entry& entry) const noexcept { return {text_.data() + entry.offset, entry.length}; }
  std::size_t find_slot(std::string_view token, std::uint64_t hash) const noexcept;
  void grow(std::size_t slots);

  HashSeed seed_;
  std::string text_;  // the tokens, end to end
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;           // (power of two), linear probing
  std::vector<std::uint32_t> by_id_;  // id → index of its entry + 1; 0: no such id
};

}  // namespace stella::tokenizer
