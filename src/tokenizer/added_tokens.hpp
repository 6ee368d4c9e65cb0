// Tokens that are found in the text before it is split: [CLS], <|endoftext|>, and what a checkpoint adds.
#pragma once

#include "tokenizer/budget.hpp"
#include "tokenizer/byte_trie.hpp"
#include "tokenizer/unicode.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

struct AddedToken {
  std::string content;  ///< What is looked for: already normalized where `normalized` is set.
  std::int32_t id = 0;
  bool single_word = false;  ///< Only between characters that are not of words.
  bool lstrip = false;       ///< Swallows the whitespace before it.
  bool rstrip = false;       ///< Swallows the whitespace behind it.
  bool normalized = false;   ///< Looked for in the normalized text.
  bool special = false;      ///< Left out where text is decoded without special tokens.
};

/// Finds added tokens: at the leftmost place, the longest. Immutable; const members are thread-safe.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  /// Tokens with different, non-empty contents of at most ByteTrie::kMaxBytes in all.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  bool empty() const noexcept { return tokens_.empty(); }

  /// Throws Error(limit_exceeded) where looking for them takes too many steps. Calls, from left to right,
  /// `use_text(part)` for what lies between tokens and `use_id(id, part)` for each token, with what it swallows.
  template <class UseText, class UseId>
  void split(std::string_view text, Budget& budget, UseText&& use_text, UseId&& use_id) const {
    std::size_t done = 0;  // as the library's: a token that swallows whitespace may move it past the next match
    Match match{};
    for (std::size_t at = 0; find(text, at, budget, match); at = match.search_from) {
      if (match.token == nullptr) continue;
      const std::size_t begin = match.token->lstrip ? before_spaces(text, done, match.begin) : match.begin;
      if (done < begin) use_text(text.substr(done, begin - done));
      // Whitespace that an earlier token swallowed is not looked at again.
      done = match.token->rstrip ? behind_spaces(text, std::max(match.end, done)) : match.end;
      use_id(match.token->id, text.substr(begin, done - begin));
    }
    if (done != text.size()) use_text(text.substr(done));
  }

 private:
  struct Match {
    std::size_t begin;
    std::size_t end;
    std::size_t search_from;
    const AddedToken* token;  // nullptr: found inside a word, which single_word forbids
  };
  bool find(std::string_view text, std::size_t from, Budget& budget, Match& match) const;
  bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) const noexcept;
  /// Begin of the whitespace that ends at `at`, but not before `from`, where that is less than `at`.
  std::size_t before_spaces(std::string_view text, std::size_t from, std::size_t at) const noexcept;
  std::size_t behind_spaces(std::string_view text, std::size_t at) const noexcept;

  std::vector<AddedToken> tokens_;
  ByteTrie trie_;                   // content → index in tokens_
  std::array<bool, 256> begins_{};  // bytes that begin a token
  int only_first_byte_ = -1;        // where all tokens begin alike
  const CharTable* table_ = &CharTable::instance();
};

}  // namespace stella::tokenizer
