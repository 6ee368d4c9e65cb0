#include "tokenizer/aligned_text.hpp"

namespace stella::tokenizer {

AlignedText::AlignedText(std::string_view part, std::size_t offset) : text_(part), begin_(offset) {
  offsets_.reserve(part.size());
  for (std::size_t at = 0; at < part.size();) {
    const std::size_t length = utf8::decode(part.data() + at).length;
    offsets_.insert(offsets_.end(), length, {offset + at, offset + at + length});
    at += length;
  }
}

void AlignedText::append(std::string_view text, const TokenOffsets& from) {
  text_.append(text);
  offsets_.insert(offsets_.end(), text.size(), from);
}

void AlignedText::append(char32_t c, const TokenOffsets& from) {
  utf8::append(text_, c);
  offsets_.resize(text_.size(), from);
}

void AlignedText::append(const AlignedText& other, std::size_t begin, std::size_t end) {
  text_.append(other.text_, begin, end - begin);
  offsets_.insert(offsets_.end(), other.offsets_.begin() + static_cast<std::ptrdiff_t>(begin),
                  other.offsets_.begin() + static_cast<std::ptrdiff_t>(end));
}

}  // namespace stella::tokenizer
