// The pre-tokenizers that look for a pattern: Split, Punctuation, Digits, WhitespaceSplit, CharDelimiterSplit.
#pragma once

#include "tokenizer/regex_splitter.hpp"
#include "tokenizer/unicode.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace stella::tokenizer {

/// Every character with one of these CharBits is a match.
struct CharPattern {
  std::uint32_t bits;
};

/// Matches are the places of a string that is not empty.
struct StringPattern {
  std::string text;
};

using Pattern = std::variant<CharPattern, StringPattern, RegexSplitter>;

/// Finds the matches of a pattern in one text, from left to right.
class Matches {
 public:
  struct Match {
    std::size_t begin;
    std::size_t end;
  };
  /// All three must outlive this.
  Matches(const Pattern& pattern, std::string_view text, Budget& budget);
  /// Whether there is one more match; it may be empty.
  bool next(Match& match);

 private:
  bool next_of(const CharPattern& pattern, Match& match) const noexcept;
  bool next_of(const StringPattern& pattern, Match& match) const noexcept;

  const Pattern* pattern_;
  std::string_view text_;
  std::size_t from_ = 0;
  std::optional<RegexSplitter::Walk> regex_;
  const CharTable* table_ = &CharTable::instance();
};

/// What becomes of a match.
enum class MatchBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Cuts a text at the matches of a pattern. Immutable; const members are thread-safe.
class MatchSplitter {
 public:
  /// With `invert`, what lies between the matches counts as the match.
  MatchSplitter(Pattern pattern, MatchBehavior behavior, bool invert = false)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  /// One walk over one text.
  class Walk {
   public:
    Walk(const MatchSplitter& splitter, std::string_view text, Budget& budget)
        : splitter_(&splitter), text_(text), matches_(splitter.pattern_, text, budget) {}
    /// The next word; an empty view at the end.
    std::string_view next();

   private:
    struct Segment {
      std::size_t begin;
      std::size_t end;
      bool is_match;
    };
    bool next_segment(Segment& segment);
    /// Takes a segment in; what is finished by that, or nothing.
    std::string_view take(const Segment& segment);
    std::string_view replace_held(const Segment& segment);

    const MatchSplitter* splitter_;
    std::string_view text_;
    Matches matches_;
    Matches::Match match_{};
    bool has_match_ = false;
    std::size_t at_ = 0;           // end of the last segment
    std::optional<Segment> held_;  // a word that the next segment may belong to
    bool last_matched_ = false;    // of the last segment
  };

 private:
  Pattern pattern_;
  MatchBehavior behavior_;
  bool invert_;
};

}  // namespace stella::tokenizer
