// Byte-level byte pair encoding: of all neighbours that a merge names, the earliest merge of the list goes first.
#pragma once

#include "stella/request.hpp"
#include "tokenizer/budget.hpp"
#include "tokenizer/vocabulary.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stella::tokenizer {

/// The character that stands for a byte in the vocabulary of a byte-level tokenizer (GPT-2's table).
char32_t byte_character(unsigned char byte) noexcept;
/// The byte that a character stands for, or -1.
int byte_of_character(char32_t c) noexcept;

struct BpeOptions {
  bool ignore_merges = false;  ///< A word that is a token needs no merges.
  std::int32_t unk_id = -1;    ///< For bytes without a token; -1: they are left out.
};

/// Immutable; const members are thread-safe.
class Bpe {
 public:
  using Merge = std::pair<std::string_view, std::string_view>;

  /// `vocabulary` must outlive this. Throws Error(malformed_file) naming `source` for a merge whose parts or whole are
  /// not in it.
  Bpe(const Vocabulary& vocabulary, std::span<const Merge> merges, const BpeOptions& options,
      const std::string& source);

  /// What long words are merged in; kept between calls.
  struct Scratch {
    std::vector<std::int32_t> ids;      // by position; -1: merged into its left neighbour
    std::vector<std::uint32_t> ranks;   // of the pair that begins at a position
    std::vector<std::uint32_t> before;  // position of the left neighbour
    std::vector<std::uint32_t> after;   // position of the right neighbour; the size where there is none
    std::vector<std::uint64_t> queue;   // heap of rank << 32 | position, the least first
    std::string characters;             // the word as the vocabulary spells it
  };

  /// Appends the ids of `word`, any bytes. What a word costs hardly depends on the checkpoint: nothing is counted.
  void encode_word(std::string_view word, Scratch& scratch, Budget&, std::vector<std::int32_t>& ids) const;
  /// The same, slower; appends the bytes of `word` that each id stands for to `ranges`. Bytes that are left out shift
  /// those behind them, as in the library.
  void encode_word(std::string_view word, Scratch& scratch, Budget&, std::vector<std::int32_t>& ids,
                   std::vector<TokenOffsets>& ranges) const;

 private:
  static constexpr std::uint32_t kNoMerge = UINT32_MAX;
  static constexpr std::size_t kShortWord = 48;  // bytes up to which searching beats a queue

  struct Slot {
    std::int32_t left;  // -1: free
    std::int32_t right;
    std::uint32_t rank;
  };
  /// The id of what the next merge makes.
  std::int32_t find_whole(std::string_view token) const noexcept;
  void add_merge(std::int32_t left, std::int32_t right, std::uint32_t rank);
  std::size_t place(std::int32_t left, std::int32_t right) const noexcept;
  /// Rank of the merge of two tokens, or kNoMerge.
  std::uint32_t rank(std::int32_t left, std::int32_t right) const noexcept;
  void merge_short(std::string_view word, std::vector<std::int32_t>& ids) const;
  /// Leaves the tokens of `word` in scratch.ids.
  void merge_long(std::string_view word, Scratch& scratch) const;
  bool whole_word(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& ids) const;

  const Vocabulary* vocabulary_;
  BpeOptions options_;
  std::array<std::int32_t, 256> byte_ids_{};  // -1: no token
  bool all_bytes_ = true;                     // no byte_ids_ is -1
  std::vector<std::uint32_t> byte_ranks_;     // (256 × 256) rank of the merge of two bytes
  HashSeed seed_;
  std::vector<Slot> slots_;  // (power of two), linear probing
  unsigned shift_ = 0;
  std::vector<std::int32_t> merged_;  // by rank: the token that the merge makes
};

}  // namespace stella::tokenizer
