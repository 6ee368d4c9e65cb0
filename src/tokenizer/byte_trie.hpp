// A trie over bytes whose edges live in one hash table.
#pragma once

#include "tokenizer/vocabulary.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

/// Maps strings to values ≥ 0. Const members are thread-safe.
class ByteTrie {
 public:
  static constexpr std::uint32_t kRoot = 0;
  static constexpr std::uint32_t kNone = UINT32_MAX;
  /// Most bytes that all strings together may have, so that a node and a byte fit a 32-bit key.
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 23;

  void reserve(std::size_t bytes);
  void insert(std::string_view string, std::int32_t value);

  /// The node reached from `node` by `byte`, or kNone.
  std::uint32_t child(std::uint32_t node, char byte) const noexcept {
    if (slots_.empty()) return kNone;
    const std::uint32_t key = key_of(node, byte);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = place(key);; at = (at + 1) & mask) {
      if (slots_[at].child == 0) return kNone;
      if (slots_[at].key == key) return slots_[at].child;
    }
  }
  /// The node of a prefix, or kNone.
  std::uint32_t find(std::string_view prefix) const noexcept;
  /// The value of the string that ends at `node`, or -1.
  std::int32_t value(std::uint32_t node) const noexcept { return values_[node]; }

 private:
  struct Slot {
    std::uint32_t key;    // parent << 8 | byte
    std::uint32_t child;  // 0: free, for no edge leads to the root
  };
  static std::uint32_t key_of(std::uint32_t node, char byte) noexcept {
    return node << 8 | static_cast<unsigned char>(byte);
  }
  std::size_t place(std::uint32_t key) const noexcept { return (key * seed_.b) >> shift_; }
  void grow(std::size_t slots);

  HashSeed seed_;
  std::vector<std::int32_t> values_ = {-1};  // by node
  std::vector<Slot> slots_;                  // (power of two), linear probing
  unsigned shift_ = 64;
};

}  // namespace stella::tokenizer
