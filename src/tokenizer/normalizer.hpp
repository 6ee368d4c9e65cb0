// The normalizers of a tokenizer.json that are implemented.
#pragma once

#include "tokenizer/normalizer_scratch.hpp"
#include "tokenizer/simple_normalizers.hpp"
#include "tokenizer/unicode.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace stella::tokenizer {

/// Canonical composition.
class NfcNormalizer {
 public:
  /// `text` itself where it is composed already, else a view of scratch.text. `text` must be valid UTF-8.
  std::string_view apply(std::string_view text, NormalizerScratch& scratch) const;
  /// The same, slower, for offsets.
  void apply(AlignedText& text) const;

 private:
  const CharTable* table_ = &CharTable::instance();
};

/// Canonical decomposition.
class NfdNormalizer {
 public:
  std::string_view apply(std::string_view text, NormalizerScratch& scratch) const;
  void apply(AlignedText& text) const;

 private:
  const CharTable* table_ = &CharTable::instance();
};

struct BertNormalizerOptions {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
};

/// BERT's cleaning: control characters out, CJK characters spaced, accents stripped, lowercase; in this order.
class BertNormalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options);
  const BertNormalizerOptions& options() const noexcept { return options_; }
  /// As NfcNormalizer::apply.
  std::string_view apply(std::string_view text, NormalizerScratch& scratch) const;
  void apply(AlignedText& text) const;

 private:
  void put(char32_t c, NormalizerScratch& scratch) const;
  void put_decomposed(char32_t c, NormalizerScratch& scratch) const;
  void put_lower(char32_t c, std::string& to) const;
  void flush(NormalizerScratch& scratch) const;

  BertNormalizerOptions options_;
  const CharTable* table_;
  std::array<char, 128> ascii_{};  // what an ASCII character becomes
  std::array<bool, 128> ascii_dropped_{};
};

using Normalizer = std::variant<NfcNormalizer, NfdNormalizer, BertNormalizer, LowercaseNormalizer,
                                StripAccentsNormalizer, StripNormalizer, PrependNormalizer, ReplaceNormalizer>;

}  // namespace stella::tokenizer
