// The small normalizers of the library: each does one thing.
#pragma once

#include "tokenizer/aligned_text.hpp"
#include "tokenizer/budget.hpp"
#include "tokenizer/match_splitter.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace stella::tokenizer {

struct NormalizerScratch;

class LowercaseNormalizer {
 public:
  std::string_view apply(std::string_view text, NormalizerScratch& scratch) const;
  void apply(AlignedText& text) const;

 private:
  const CharTable* table_ = &CharTable::instance();
};

/// Removes combining marks, those that take space as well; decomposes nothing.
class StripAccentsNormalizer {
 public:
  std::string_view apply(std::string_view text, NormalizerScratch& scratch) const;
  void apply(AlignedText& text) const;

 private:
  const CharTable* table_ = &CharTable::instance();
};

/// Removes whitespace at the ends.
class StripNormalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  std::string_view apply(std::string_view text, NormalizerScratch& scratch) const;
  void apply(AlignedText& text) const;

 private:
  bool left_;
  bool right_;
  const CharTable* table_ = &CharTable::instance();
};

/// Puts a string before a text that is not empty.
class PrependNormalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  /// Throws Error(limit_exceeded) where the budget does not suffice.
  std::string_view apply(std::string_view text, NormalizerScratch& scratch, Budget& budget) const;
  void apply(AlignedText& text, Budget& budget) const;

 private:
  std::string prefix_;
};

class ReplaceNormalizer {
 public:
  ReplaceNormalizer(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  /// Throws Error(limit_exceeded) where the budget does not suffice.
  std::string_view apply(std::string_view text, NormalizerScratch& scratch, Budget& budget) const;
  void apply(AlignedText& text, Budget& budget) const;

 private:
  template <class Use>
  void for_each_match(std::string_view text, Budget& budget, Use&& use) const;

  Pattern pattern_;
  std::string content_;
};

}  // namespace stella::tokenizer
