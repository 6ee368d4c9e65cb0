// WordPiece: the longest token that begins the word, then the longest that continues it, and so on.
#pragma once

#include "stella/request.hpp"
#include "tokenizer/budget.hpp"
#include "tokenizer/byte_trie.hpp"
#include "tokenizer/vocabulary.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

struct WordPieceOptions {
  std::string continuing_subword_prefix = "##";
  std::int32_t unk_id = 0;
  std::size_t max_input_chars_per_word = 100;
};

/// Immutable; const members are thread-safe.
class WordPiece {
 public:
  /// `vocabulary` may have at most ByteTrie::kMaxBytes bytes.
  WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options);

  /// Scratch of a call; WordPiece needs none.
  struct Scratch {};

  /// Appends the ids of `word` (valid UTF-8): the unknown token alone where a part of it is not in the vocabulary.
  /// Throws Error(limit_exceeded) where the budget does not suffice.
  void encode_word(std::string_view word, Scratch& scratch, Budget& budget, std::vector<std::int32_t>& ids) const;
  /// The same; appends the bytes of `word` that each id stands for to `ranges`.
  void encode_word(std::string_view word, Scratch& scratch, Budget& budget, std::vector<std::int32_t>& ids,
                   std::vector<TokenOffsets>& ranges) const;

 private:
  /// Calls `use(begin, end)` for each token's part of the word. Returns whether the word is known.
  template <class Use>
  bool encode(std::string_view word, Budget& budget, std::vector<std::int32_t>& ids, Use&& use) const;

  WordPieceOptions options_;
  ByteTrie trie_;
  std::uint32_t continuation_ = ByteTrie::kNone;  // where tokens that continue a word begin
};

}  // namespace stella::tokenizer
