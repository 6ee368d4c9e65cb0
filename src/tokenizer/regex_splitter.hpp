// Patterns that are not known by heart, by PCRE2.
#pragma once

#include "tokenizer/budget.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace stella::tokenizer {

/// A regular expression with \p{L}, \p{N}, \s and their complements expanded to the library's characters.
class RegexSplitter {
 public:
  /// Throws Error(unsupported_model) naming `source` and what in the pattern is not supported, Error(limit_exceeded)
  /// for a pattern that is too large.
  RegexSplitter(const std::string& pattern, const std::string& source);
  RegexSplitter(RegexSplitter&&) noexcept;
  RegexSplitter& operator=(RegexSplitter&&) noexcept;
  ~RegexSplitter();

  /// One walk over one text; the words are matches and what lies between them.
  class Walk {
   public:
    /// All three must outlive this.
    Walk(const RegexSplitter& splitter, std::string_view text, Budget& budget);
    /// The next word; an empty view at the end. Throws Error(limit_exceeded) where the pattern takes too many steps on
    /// this text.
    std::string_view next();
    /// Instead of next(): the next match, which may be empty. Throws the same.
    bool next_match(std::size_t& begin, std::size_t& end);

   private:
    struct MatchDelete {
      void operator()(void* match) const noexcept;
    };
    struct ContextDelete {
      void operator()(void* context) const noexcept;
    };
    struct StackDelete {
      void operator()(void* stack) const noexcept;
    };
    bool find();
    [[noreturn]] void refuse(int code) const;

    const RegexSplitter* splitter_;
    std::string_view text_;
    std::size_t at_ = 0;           // end of the last word returned
    std::size_t from_ = 0;         // where the next search begins
    std::size_t match_begin_ = 0;  // the last match found; its end is SIZE_MAX before the first
    std::size_t match_end_ = SIZE_MAX;
    bool pending_ = false;  // that match is not returned yet
    Budget* budget_;
    std::unique_ptr<void, MatchDelete> match_;
    std::unique_ptr<void, StackDelete> stack_;  // of compiled code; made when it is needed
    std::unique_ptr<void, ContextDelete> context_;
  };

 private:
  struct CodeDelete {
    void operator()(void* code) const noexcept;
  };
  std::unique_ptr<void, CodeDelete> code_;
  std::string pattern_;
  std::size_t steps_for_a_start_ = 1;
};

}  // namespace stella::tokenizer
