#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/utf8.hpp"
#include "stella/error.hpp"
#include "tokenizer/splitter.hpp"

#include <array>
#include <cstdio>
#include <cstring>

#include <pcre2.h>

namespace stella::tokenizer {
namespace {

constexpr std::size_t kUnset = SIZE_MAX;

/// The code points with (info & bit) != 0, or without, as the inside of a character class.
std::string class_ranges(std::uint32_t bit, bool complement) {
  const CharTable& table = CharTable::instance();
  std::string ranges;
  const auto add = [&ranges](char32_t first, char32_t last) {
    std::array<char, 32> text{};
    const int length = std::snprintf(text.data(), text.size(), "\\x{%X}-\\x{%X}", static_cast<unsigned>(first),
                                     static_cast<unsigned>(last));
    ranges.append(text.data(), static_cast<std::size_t>(length));
  };
  constexpr char32_t kEnd = 0x110000;
  char32_t first = kEnd;
  for (char32_t c = 0; c <= kEnd; ++c) {
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    const bool in = c < kEnd && !surrogate && ((table.info(c) & bit) != 0) != complement;
    if (in && first == kEnd) first = c;
    if (!in && first != kEnd) {
      add(first, c - 1);
      first = kEnd;
    }
  }
  return ranges;
}

/// Rewrites an Oniguruma pattern for PCRE2. Only constructs that mean the same in both are let through; what depends on
/// Unicode data is expanded to the library's characters.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& source) : pattern_(pattern), source_(source) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_member(c);
      } else {
        plain(c);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void unsupported(std::string_view what) const {
    throw Error(Errc::unsupported_model,
                source_ + ": '" + std::string(what) + "' in the pre-tokenizer's Split pattern is not supported",
                {.file = source_});
  }

  void expand(std::uint32_t bit, bool complement) {
    const std::string ranges = class_ranges(bit, complement);
    out_ += in_class_ ? ranges : "[" + ranges + "]";
  }

  void escape() {
    const std::string_view rest = pattern_.substr(at_);
    const auto is = [&](std::string_view escape) { return rest.starts_with(escape); };
    std::size_t length = 2;
    if (is("\\p{L}") || is("\\P{L}")) {
      expand(kLetter, rest[1] == 'P');
      length = 5;
    } else if (is("\\p{N}") || is("\\P{N}")) {
      expand(kNumber, rest[1] == 'P');
      length = 5;
    } else if (is("\\s") || is("\\S")) {
      expand(kSpace, rest[1] == 'S');
    } else if (is("\\r") || is("\\n") || is("\\t")) {
      out_ += rest.substr(0, 2);
    } else if (rest.size() > 1 && std::strchr("\\'\"|()[]{}.+*?^$-/#&~!<>=:,;@%`_ ", rest[1]) != nullptr) {
      out_ += '\\';
      out_ += rest[1];
    } else {
      unsupported(rest.substr(0, rest.find('}') == std::string_view::npos || !is("\\p") ? 2 : rest.find('}') + 1));
    }
    at_ += length;
  }

  void class_member(char c) {
    if (c == '[') unsupported("[ inside a character class");
    if (pattern_.substr(at_).starts_with("&&")) unsupported("&& inside a character class");
    if (c == ']') in_class_ = false;
    out_ += c;
    ++at_;
  }

  void plain(char c) {
    if (c == '^' || c == '$') unsupported(std::string(1, c));
    if (c == '(' && pattern_.substr(at_).starts_with("(?")) {
      group();
      return;
    }
    if (c == '[') in_class_ = true;
    if (c == '}' && at_ + 1 < pattern_.size() && (pattern_[at_ + 1] == '+' || pattern_[at_ + 1] == '?')) {
      unsupported(pattern_.substr(at_, 2));
    }
    out_ += c;
    ++at_;
    if (in_class_ && at_ < pattern_.size() && pattern_[at_] == '^') {
      out_ += '^';
      ++at_;
    }
  }

  void group() {
    const std::string_view rest = pattern_.substr(at_);
    for (const std::string_view head : {"(?:", "(?!", "(?="}) {
      if (rest.starts_with(head)) {
        out_ += head;
        at_ += head.size();
        return;
      }
    }
    if (!rest.starts_with("(?i:")) unsupported(rest.substr(0, 4));
    // Case folding differs where characters fold to several, so only literals that no such folding reaches are taken.
    const std::size_t close = rest.find(')');
    const std::string_view body = rest.substr(4, close == std::string_view::npos ? close : close - 4);
    for (std::size_t i = 0; i < body.size(); ++i) {
      const char c = body[i];
      if ((c < 'a' || c > 'z') && c != '\'' && c != '|') unsupported(rest.substr(0, 5 + body.size()));
      for (const std::string_view folded : {"ss", "st", "ff", "fi", "fl"}) {
        if (body.substr(i).starts_with(folded)) unsupported(rest.substr(0, 5 + body.size()));
      }
    }
    out_ += rest.substr(0, 4 + body.size());
    at_ += 4 + body.size();
  }

  std::string_view pattern_;
  const std::string& source_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_class_ = false;
};

pcre2_code* code_of(void* code) {
  return static_cast<pcre2_code*>(code);
}
pcre2_match_data* match_of(void* match) {
  return static_cast<pcre2_match_data*>(match);
}

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

RegexSplitter::RegexSplitter(const std::string& pattern, const std::string& source) : pattern_(pattern) {
  const std::string translated = Translator(pattern, source).run();
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (context) pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), PCRE2_UTF, &error,
                            &offset, context.get()));
  if (!code_) {
    throw Error(
        Errc::unsupported_model,
        source + ": the pre-tokenizer's Split pattern " + pattern + " does not compile: " + pcre2_message(error),
        {.file = source});
  }
  // Where there is no just-in-time compiler the interpreter matches the same.
  pcre2_jit_compile(code_of(code_.get()), PCRE2_JIT_COMPLETE);
}

RegexSplitter::RegexSplitter(RegexSplitter&&) noexcept = default;
RegexSplitter& RegexSplitter::operator=(RegexSplitter&&) noexcept = default;
RegexSplitter::~RegexSplitter() = default;

void RegexSplitter::CodeDelete::operator()(void* code) const noexcept {
  pcre2_code_free(code_of(code));
}
void RegexSplitter::Pass::MatchDelete::operator()(void* match) const noexcept {
  pcre2_match_data_free(match_of(match));
}

RegexSplitter::Pass::Pass(const RegexSplitter& splitter, std::string_view text)
    : splitter_(&splitter),
      text_(text),
      match_(pcre2_match_data_create_from_pattern(code_of(splitter.code_.get()), nullptr)) {
  if (!match_)
    throw Error(Errc::out_of_memory, "no memory to tokenize a text of " + std::to_string(text.size()) + " bytes");
}

bool RegexSplitter::Pass::find() {
  while (from_ <= text_.size()) {
    const auto search = [&](std::uint32_t options) {
      return pcre2_match(code_of(splitter_->code_.get()), reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(),
                         from_, options, match_of(match_.get()), nullptr);
    };
    int result = search(PCRE2_NO_UTF_CHECK);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result < 0) {
      throw Error(Errc::invalid_argument, "a text of " + std::to_string(text_.size()) +
                                              " bytes cannot be split by the pattern " + splitter_->pattern_ + ": " +
                                              pcre2_message(result) + "; shorten it");
    }
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(match_of(match_.get()));
    if (ends[0] == ends[1] && match_end_ != kUnset && ends[1] == match_end_) {
      // An empty match right behind the last one does not count.
      from_ += from_ < text_.size() ? utf8::decode(text_.data() + from_).length : 1;
      continue;
    }
    match_begin_ = ends[0];
    match_end_ = ends[1];
    from_ = match_end_;
    return true;
  }
  return false;
}

std::string_view RegexSplitter::Pass::next() {
  while (at_ < text_.size()) {
    if (!pending_) pending_ = find();
    const std::size_t begin = at_;
    if (!pending_) {
      at_ = text_.size();
    } else if (at_ < match_begin_) {
      at_ = match_begin_;
    } else {
      at_ = match_end_;
      pending_ = false;
    }
    if (at_ > begin) return text_.substr(begin, at_ - begin);
  }
  return {};
}

}  // namespace stella::tokenizer
