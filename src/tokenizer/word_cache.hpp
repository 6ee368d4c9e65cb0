// Words that were tokenized lately, and their ids.
#pragma once

#include "tokenizer/vocabulary.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

/// A cache of a fixed size in which a new word replaces the one in its place. Not thread-safe.
class WordCache {
 public:
  /// A word and its ids fill one cache line.
  struct alignas(64) Entry {
    std::uint8_t bytes = 0;  // 0: free
    std::uint8_t count = 0;
    std::array<char, 30> word;
    std::array<std::int32_t, 8> ids;
  };

  /// Where a word belongs; nullptr for one that is too long to be kept.
  Entry* place(std::string_view word) noexcept {
    if (word.size() > sizeof(Entry::word)) return nullptr;
    return &entries_[hash_bytes(seed_, word.data(), word.size()) >> (64 - kBits)];
  }

  /// Appends the ids of `word` where it is in its place.
  static bool find(const Entry* entry, std::string_view word, std::vector<std::int32_t>& ids) {
    if (entry == nullptr || entry->bytes != word.size()) return false;
    if (std::memcmp(entry->word.data(), word.data(), word.size()) != 0) return false;
    ids.insert(ids.end(), entry->ids.begin(), entry->ids.begin() + entry->count);
    return true;
  }

  static void store(Entry* entry, std::string_view word, std::span<const std::int32_t> ids) noexcept {
    if (entry == nullptr || ids.size() > entry->ids.size()) return;
    entry->bytes = static_cast<std::uint8_t>(word.size());
    entry->count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(entry->word.data(), word.data(), word.size());
    std::memcpy(entry->ids.data(), ids.data(), ids.size_bytes());
  }

 private:
  static constexpr unsigned kBits = 13;  // 512 KiB: most words of a language, within a core's second-level cache

  HashSeed seed_;
  std::vector<Entry> entries_ = std::vector<Entry>(std::size_t{1} << kBits);
};

}  // namespace stella::tokenizer
