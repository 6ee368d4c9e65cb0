// Text under normalization that knows where it comes from. Only offsets need it: ids are made without.
#pragma once

#include "base/utf8.hpp"
#include "stella/request.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

/// Valid UTF-8 and, for each byte, the bytes of the text as given that its character comes from. Where normalization
/// leaves a choice it is that of the Hugging Face library: what is put in comes from where the character before it
/// does, and what takes the place of several from where the first of them does.
class AlignedText {
 public:
  /// A part of the text as given that begins at its byte `offset`.
  AlignedText(std::string_view part, std::size_t offset);
  /// Empty, to become what a normalizer makes of `from`.
  static AlignedText after(const AlignedText& from) { return AlignedText(from.begin_); }

  std::string_view text() const noexcept { return text_; }
  std::span<const TokenOffsets> offsets() const noexcept { return offsets_; }  // (bytes of text)
  /// Where the character before `byte` comes from; the part's begin where there is none.
  TokenOffsets before(std::size_t byte) const noexcept {
    return byte == 0 ? TokenOffsets{begin_, begin_} : offsets_[byte - 1];
  }

  void append(std::string_view text, const TokenOffsets& from);
  void append(char32_t c, const TokenOffsets& from);
  /// Appends bytes [begin, end) of another.
  void append(const AlignedText& other, std::size_t begin, std::size_t end);

  /// Puts what `map(code point, put)` calls `put(code point)` with in the place of each character.
  template <class Map>
  void map(Map&& map) {
    AlignedText mapped = after(*this);
    for (std::size_t at = 0; at < text_.size();) {
      const utf8::Decoded c = utf8::decode(text_.data() + at);
      map(c.value, [&](char32_t part) { mapped.append(part, offsets_[at]); });
      at += c.length;
    }
    *this = std::move(mapped);
  }

 private:
  explicit AlignedText(std::size_t begin) : begin_(begin) {}

  std::string text_;
  std::vector<TokenOffsets> offsets_;
  std::size_t begin_;  // of the part
};

}  // namespace stella::tokenizer
