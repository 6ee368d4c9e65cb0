#include "tokenizer/splitter.hpp"

#include "base/utf8.hpp"

namespace stella::tokenizer {
namespace {

constexpr std::uint32_t kCategories = kLetter | kNumber | kSpace;  // none of them: the patterns' "other"

struct Char {
  std::uint32_t info;
  std::uint32_t length;
};

Char read(const CharTable& table, const char* at) noexcept {
  if (const auto byte = static_cast<unsigned char>(*at); byte < 0x80) return {table.ascii()[byte], 1};
  const utf8::Decoded c = utf8::decode(at);
  return {table.info(c.value), c.length};
}

/// End of the longest run at `at` whose characters have `info & mask` equal to `wanted`.
const char* skip(const CharTable& table, const char* at, const char* end, std::uint32_t mask,
                 std::uint32_t wanted) noexcept {
  while (at != end) {
    const Char c = read(table, at);
    if ((c.info & mask) != wanted) break;
    at += c.length;
  }
  return at;
}

const char* skip_letters(const CharTable& table, const char* at, const char* end) noexcept {
  return skip(table, at, end, kLetter, kLetter);
}

const char* skip_other(const CharTable& table, const char* at, const char* end) noexcept {
  return skip(table, at, end, kCategories, 0);
}

bool is_newline(char c) noexcept {
  return c == '\r' || c == '\n';
}

/// 's 't 're 've 'm 'll 'd: bytes matched at `at`, or 0. Ignoring case, U+017F (long s) is an s as well.
std::size_t contraction(const char* at, const char* end, bool any_case) noexcept {
  if (*at != '\'' || end - at < 2) return 0;
  const auto letter = [&](std::ptrdiff_t i) {
    const char c = i < end - at ? at[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  const char first = letter(1);
  const char second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  if (any_case && first == '\xC5' && second == '\xBF') return 3;
  return 0;
}

/// What `\s+(?!\S)|\s+` takes of the whitespace [at, run_end): all at the end of the text, else all but the last
/// character so that it can go with the next word.
const char* take_spaces(const char* at, const char* run_end, const char* end) noexcept {
  if (run_end == end) return run_end;
  const char* const last = utf8::previous(run_end);
  return last == at ? run_end : last;
}

std::string_view take(const char** at, const char* to) noexcept {
  const std::string_view word(*at, static_cast<std::size_t>(to - *at));
  *at = to;
  return word;
}

}  // namespace

std::string_view BertSplitter::next(const char** at, const char* end) const noexcept {
  *at = skip(*table_, *at, end, kWhite, kWhite);
  if (*at == end) return {};
  const Char first = read(*table_, *at);
  if ((first.info & kPunctuation) != 0) return take(at, *at + first.length);
  return take(at, skip(*table_, *at + first.length, end, kWhite | kPunctuation, 0));
}

std::string_view WhitespaceSplitter::next(const char** at, const char* end) const noexcept {
  *at = skip(*table_, *at, end, kWhite, kWhite);
  if (*at == end) return {};
  const Char first = read(*table_, *at);
  return take(at, skip(*table_, *at + first.length, end, kWhite | kWord, first.info & kWord));
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::string_view Gpt2Splitter::next(const char** at, const char* end) const noexcept {
  const char* const begin = *at;
  if (begin == end) return {};
  if (const std::size_t bytes = contraction(begin, end, false); bytes != 0) return take(at, begin + bytes);
  const char* body = *begin == ' ' && end - begin > 1 ? begin + 1 : begin;
  const Char first = read(*table_, body);
  if ((first.info & kLetter) != 0) return take(at, skip_letters(*table_, body + first.length, end));
  if ((first.info & kNumber) != 0) return take(at, skip(*table_, body + first.length, end, kNumber, kNumber));
  if ((first.info & kCategories) == 0) return take(at, skip_other(*table_, body + first.length, end));
  return take(at, take_spaces(begin, skip(*table_, begin, end, kSpace, kSpace), end));
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max_digits}|
// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
std::string_view Gpt4Splitter::next(const char** at, const char* end) const noexcept {
  const char* const begin = *at;
  if (begin == end) return {};
  const Char first = read(*table_, begin);
  const char* const second = begin + first.length;
  if ((first.info & kLetter) != 0) return take(at, skip_letters(*table_, second, end));
  if ((first.info & kNumber) != 0) {
    const char* to = second;
    for (std::size_t digits = 1; digits < max_digits_ && to != end; ++digits) {
      const Char c = read(*table_, to);
      if ((c.info & kNumber) == 0) break;
      to += c.length;
    }
    return take(at, to);
  }
  if (const std::size_t bytes = contraction(begin, end, true); bytes != 0) return take(at, begin + bytes);
  if (second != end && !is_newline(*begin)) {
    const Char next = read(*table_, second);
    if ((next.info & kLetter) != 0) return take(at, skip_letters(*table_, second + next.length, end));
  }
  const char* const body = *begin == ' ' ? second : begin;
  const char* to = skip_other(*table_, body, end);
  if (to != body) {
    while (to != end && is_newline(*to)) ++to;
    return take(at, to);
  }
  const char* const run_end = skip(*table_, second, end, kSpace, kSpace);
  for (const char* last = run_end; last != begin; --last) {
    if (is_newline(last[-1])) return take(at, last);
  }
  return take(at, take_spaces(begin, run_end, end));
}

Splitter make_pattern_splitter(const std::string& pattern, const std::string& source) {
  constexpr std::string_view kBegin = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
  constexpr std::string_view kThree = "{1,3}";
  constexpr std::string_view kEnd = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  if (pattern == kGpt2) return Gpt2Splitter{};
  if (pattern.starts_with(kBegin) && pattern.ends_with(kEnd)) {
    const std::size_t between = pattern.size() - kEnd.size() - kBegin.size();
    const std::string_view digits = std::string_view(pattern).substr(kBegin.size(), between);
    if (digits.empty()) return Gpt4Splitter{1};
    if (digits == kThree) return Gpt4Splitter{3};
  }
  return RegexSplitter(pattern, source);
}

}  // namespace stella::tokenizer
