// Cutting normalized text into the words that a model tokenizes on their own.
#pragma once

#include "tokenizer/unicode.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

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

/// Any other Split pattern, by PCRE2 with \p{L}, \p{N}, \s and their complements expanded to the library's characters.
class RegexSplitter {
 public:
  /// Throws Error(unsupported_model) naming `source` and what in the pattern is not supported.
  RegexSplitter(const std::string& pattern, const std::string& source);
  RegexSplitter(RegexSplitter&&) noexcept;
  RegexSplitter& operator=(RegexSplitter&&) noexcept;
  ~RegexSplitter();

  /// One pass over one text; the words are matches and what lies between them.
  class Pass {
   public:
    Pass(const RegexSplitter& splitter, std::string_view text);
    /// As BertSplitter::next; throws Error(invalid_argument) where a text exceeds PCRE2's limits for this pattern.
    std::string_view next();

   private:
    struct MatchDelete {
      void operator()(void* match) const noexcept;
    };
    const RegexSplitter* splitter_;
    std::string_view text_;
    bool find();

    std::size_t at_ = 0;           // end of the last word returned
    std::size_t from_ = 0;         // where the next search begins
    std::size_t match_begin_ = 0;  // the last match found; its end is SIZE_MAX before the first
    std::size_t match_end_ = SIZE_MAX;
    bool pending_ = false;  // that match is not returned yet
    std::unique_ptr<void, MatchDelete> match_;
  };

 private:
  struct CodeDelete {
    void operator()(void* code) const noexcept;
  };
  std::unique_ptr<void, CodeDelete> code_;
  std::string pattern_;
};

/// No splitting: the whole text is one word.
struct WholeSplitter {};

using Splitter = std::variant<WholeSplitter, BertSplitter, Gpt2Splitter, Gpt4Splitter, RegexSplitter>;

/// The splitter for a Split pattern: by hand where the pattern is one of the known ones.
Splitter make_pattern_splitter(const std::string& pattern, const std::string& source);

/// Calls `use(word)` for every word of `text`, in order.
template <class Use>
void for_each_word(const Splitter& splitter, std::string_view text, Use&& use) {
  std::visit(
      [&]<class T>(const T& kind) {
        if constexpr (std::is_same_v<T, WholeSplitter>) {
          if (!text.empty()) use(text);
        } else if constexpr (std::is_same_v<T, RegexSplitter>) {
          RegexSplitter::Pass pass(kind, text);
          for (std::string_view word = pass.next(); !word.empty(); word = pass.next()) use(word);
        } else {
          const char* at = text.data();
          const char* const end = at + text.size();
          for (std::string_view word = kind.next(&at, end); !word.empty(); word = kind.next(&at, end)) use(word);
        }
      },
      splitter);
}

}  // namespace stella::tokenizer
