// Cutting normalized text into the words that a model tokenizes on their own.
#pragma once

#include "stella/request.hpp"
#include "tokenizer/match_splitter.hpp"
#include "tokenizer/regex_splitter.hpp"
#include "tokenizer/unicode.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace stella::tokenizer {

/// Finds the next word at or after `*at`, moves `*at` behind it; an empty view at the end of the text.
/// BertPreTokenizer: whitespace separates and goes, every punctuation character is a word.
class BertSplitter {
 public:
  std::string_view next(const char** at, const char* end) const noexcept;

 private:
  const CharTable* table_ = &CharTable::instance();
};

/// The regular expression of GPT-2 (ByteLevel with use_regex), by hand.
class Gpt2Splitter {
 public:
  std::string_view next(const char** at, const char* end) const noexcept;

 private:
  const CharTable* table_ = &CharTable::instance();
};

/// The regular expression of GPT-4, Qwen2 and Llama 3, by hand; they differ in how many digits make a word.
class Gpt4Splitter {
 public:
  explicit Gpt4Splitter(std::size_t max_digits) : max_digits_(max_digits) {}
  std::string_view next(const char** at, const char* end) const noexcept;

 private:
  const CharTable* table_ = &CharTable::instance();
  std::size_t max_digits_;
};

/// \w+|[^\w\s]+ of the Whitespace pre-tokenizer, by hand: runs of word characters, and of what is neither word nor
/// whitespace.
class WhitespaceSplitter {
 public:
  std::string_view next(const char** at, const char* end) const noexcept;

 private:
  const CharTable* table_ = &CharTable::instance();
};

/// No splitting, but a space before a text that does not begin with one (ByteLevel with add_prefix_space).
struct PrefixSpace {};

/// No splitting: the whole text is one word.
struct WholeSplitter {};

using Splitter = std::variant<WholeSplitter, PrefixSpace, BertSplitter, WhitespaceSplitter, Gpt2Splitter, Gpt4Splitter,
                              RegexSplitter, MatchSplitter>;

/// The splitter for a Split pattern: by hand where the pattern is one of the known ones.
Splitter make_pattern_splitter(const std::string& pattern, const std::string& source);

/// Calls `use(word)` for every word of `text`, in order.
template <class Use>
void for_each_word(const Splitter& splitter, std::string_view text, Budget& budget, Use&& use) {
  std::visit(
      [&]<class T>(const T& kind) {
        if constexpr (std::is_same_v<T, WholeSplitter>) {
          if (!text.empty()) use(text);
        } else if constexpr (std::is_same_v<T, PrefixSpace>) {
          if (text.empty() || text.front() == ' ') return use(text);
          std::string spaced(1, ' ');
          spaced += text;
          use(std::string_view(spaced));
        } else if constexpr (std::is_same_v<T, RegexSplitter> || std::is_same_v<T, MatchSplitter>) {
          typename T::Walk walk(kind, text, budget);
          for (std::string_view word = walk.next(); !word.empty(); word = walk.next()) use(word);
        } else {
          const char* at = text.data();
          const char* const end = at + text.size();
          for (std::string_view word = kind.next(&at, end); !word.empty(); word = kind.next(&at, end)) use(word);
        }
      },
      splitter);
}

/// Calls `use(word)` for every word that the splitters make, each of what those before it leave.
template <class Use>
void for_each_word(std::span<const Splitter> splitters, std::string_view text, Budget& budget, Use& use) {
  if (splitters.empty()) {
    if (!text.empty()) use(text);
  } else if (splitters.size() == 1) {
    for_each_word(splitters.front(), text, budget, use);
  } else {
    for_each_word(splitters.front(), text, budget,
                  [&](std::string_view word) { for_each_word(splitters.subspan(1), word, budget, use); });
  }
}

/// The same for text whose every byte comes from `offsets`: `use(word, offsets of its bytes)`.
template <class Use>
void for_each_aligned_word(std::span<const Splitter> splitters, std::string_view text,
                           std::span<const TokenOffsets> offsets, Budget& budget, Use& use) {
  if (splitters.empty()) {
    if (!text.empty()) use(text, offsets);
    return;
  }
  for_each_word(splitters.front(), text, budget, [&](std::string_view word) {
    if (word.size() > text.size()) {  // a space was put before it: that comes from where the first character does
      std::vector<TokenOffsets> spaced(1, offsets.front());
      spaced.insert(spaced.end(), offsets.begin(), offsets.end());
      for_each_aligned_word(splitters.subspan(1), word, spaced, budget, use);
    } else {
      const auto begin = static_cast<std::size_t>(word.data() - text.data());
      for_each_aligned_word(splitters.subspan(1), word, offsets.subspan(begin, word.size()), budget, use);
    }
  });
}

}  // namespace stella::tokenizer
