#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex_splitter.hpp"

#include "base/utf8.hpp"
#include "stella/error.hpp"
#include "tokenizer/budget.hpp"
#include "tokenizer/unicode.hpp"

#include <array>
#include <cstdio>
#include <cstring>
#include <vector>

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
/// Unicode data is expanded to the library's characters. A callout stands before and behind whatever is repeated, so
/// that the steps of a match can be counted.
class Translator {
 public:
  static constexpr const char* kCallout = "(?C)";
  static constexpr const char* kFirstCallout = "(?C1)";  // where a match begins

  Translator(std::string_view pattern, const std::string& source) : pattern_(pattern), source_(source) {}

  std::string run() {
    if (pattern_.size() > kMaxPattern) too_large(std::to_string(pattern_.size()) + " bytes", kMaxPattern);
    out_ = std::string(kFirstCallout) + "(?:";
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_member(c);
      } else {
        plain(c);
      }
      if (out_.size() > kMaxTranslated)
        too_large("character classes of " + std::to_string(out_.size()) + " bytes", kMaxTranslated);
    }
    return std::move(out_) + ")";
  }
  /// How many character classes were expanded: what a match costs at a place where it fails at once.
  std::size_t expanded() const noexcept { return expanded_; }

 private:
  static constexpr std::size_t kMaxPattern = 16384;          // bytes; GPT-4o's has 300
  static constexpr std::size_t kMaxTranslated = 512 * 1024;  // bytes
  static constexpr std::size_t kMaxGroups = 100;             // within each other
  static constexpr std::size_t kNoAtom = SIZE_MAX;

  [[noreturn]] void unsupported(std::string_view what) const {
    throw Error(Errc::unsupported_model,
                source_ + ": '" + std::string(what) + "' in the pre-tokenizer's Split pattern is not supported",
                {.file = source_});
  }
  [[noreturn]] void too_large(const std::string& what, std::size_t limit) const {
    throw Error(Errc::limit_exceeded,
                source_ + ": the pre-tokenizer's Split pattern has " + what + "; at most " + std::to_string(limit) +
                    " are taken",
                {.file = source_});
  }

  void expand(std::uint32_t bit, bool complement) {
    // Made once: a pattern may name a class thousands of times.
    for (const Class& known : classes_) {
      if (known.bit == bit && known.complement == complement) return append_class(known.ranges);
    }
    classes_.push_back({bit, complement, class_ranges(bit, complement)});
    append_class(classes_.back().ranges);
  }

  void append_class(const std::string& ranges) {
    ++expanded_;
    out_ += in_class_ ? ranges : "[" + ranges + "]";
  }

  void escape() {
    const std::string_view rest = pattern_.substr(at_);
    const auto is = [&](std::string_view escape) { return rest.starts_with(escape); };
    std::size_t length = 2;
    if (!in_class_) atom_ = out_.size();
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
    switch (c) {
      case '^':
      case '$':
        unsupported(std::string(1, c));
      case '(':
        return open_group();
      case ')':
        atom_ = kNoAtom;
        if (!groups_.empty()) {
          atom_ = groups_.back();
          groups_.pop_back();
        }
        break;
      case '|':
        atom_ = kNoAtom;
        break;
      case '*':
      case '+':
      case '?':
      case '{':
        return quantifier();
      case '[':
        atom_ = out_.size();
        in_class_ = true;
        break;
      default:
        atom_ = out_.size();
        break;
    }
    const std::size_t length = in_class_ ? 1 : utf8::decode(pattern_.data() + at_).length;
    out_ += pattern_.substr(at_, length);
    at_ += length;
    if (in_class_ && at_ < pattern_.size() && pattern_[at_] == '^') {
      out_ += '^';
      ++at_;
    }
  }

  /// A quantifier, possessive or lazy or neither.
  void quantifier() {
    const std::size_t begin = at_++;
    if (pattern_[begin] == '{') {
      const std::size_t close = pattern_.find('}', begin);
      const std::string_view inside = pattern_.substr(at_, close == std::string_view::npos ? close : close - at_);
      // {,3} and braces that are no quantifier mean different things in different engines.
      if (close == std::string_view::npos || inside.empty() || inside.front() == ',' ||
          inside.find_first_not_of("0123456789,") != std::string_view::npos) {
        unsupported(pattern_.substr(begin, 2));
      }
      at_ = close + 1;
      if (at_ < pattern_.size() && (pattern_[at_] == '+' || pattern_[at_] == '?'))
        unsupported(pattern_.substr(close, 2));
    } else if (at_ < pattern_.size() && (pattern_[at_] == '+' || pattern_[at_] == '?')) {
      ++at_;
    }
    if (atom_ != kNoAtom) out_.insert(atom_, kCallout);
    out_ += pattern_.substr(begin, at_ - begin);
    if (atom_ != kNoAtom) out_ += kCallout;
    atom_ = kNoAtom;
  }

  void open_group() {
    if (groups_.size() == kMaxGroups) too_large("more groups within each other", kMaxGroups);
    if (pattern_.substr(at_).starts_with("(*")) unsupported("(*");
    groups_.push_back(out_.size());
    atom_ = kNoAtom;
    if (pattern_.substr(at_).starts_with("(?")) return group_head();
    out_ += '(';
    ++at_;
  }

  void group_head() {
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

  struct Class {
    std::uint32_t bit;
    bool complement;
    std::string ranges;
  };
  std::string_view pattern_;
  const std::string& source_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::vector<std::size_t> groups_;  // where each open one begins in out_
  std::size_t atom_ = kNoAtom;       // where what a quantifier would repeat begins in out_
  std::vector<Class> classes_;
  std::size_t expanded_ = 0;
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

/// Steps of one walk: callouts, the distance between one and the next, and expanded classes where a match begins.
struct RegexSteps {
  Budget* budget;
  std::size_t for_a_start;
  std::size_t last = 0;  // where the last callout was
};

int count_steps(pcre2_callout_block* block, void* data) {
  auto& steps = *static_cast<RegexSteps*>(data);
  const std::size_t at = block->current_position;
  const std::size_t distance = at > steps.last ? at - steps.last : steps.last - at;
  steps.last = at;
  const std::size_t cost = block->callout_number == 1 ? steps.for_a_start : distance + 1;
  return steps.budget->spend(cost) ? 0 : PCRE2_ERROR_CALLOUT;
}

}  // namespace

RegexSplitter::RegexSplitter(const std::string& pattern, const std::string& source) : pattern_(pattern) {
  Translator translator(pattern, source);
  const std::string translated = translator.run();
  steps_for_a_start_ = 1 + translator.expanded();
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
void RegexSplitter::Walk::MatchDelete::operator()(void* match) const noexcept {
  pcre2_match_data_free(match_of(match));
}
void RegexSplitter::Walk::StackDelete::operator()(void* stack) const noexcept {
  pcre2_jit_stack_free(static_cast<pcre2_jit_stack*>(stack));
}
void RegexSplitter::Walk::ContextDelete::operator()(void* context) const noexcept {
  pcre2_match_context_free(static_cast<pcre2_match_context*>(context));
}

RegexSplitter::Walk::Walk(const RegexSplitter& splitter, std::string_view text, Budget& budget)
    : splitter_(&splitter),
      text_(text),
      budget_(&budget),
      match_(pcre2_match_data_create_from_pattern(code_of(splitter.code_.get()), nullptr)),
      context_(pcre2_match_context_create(nullptr)) {
  if (!match_ || !context_) {
    throw Error(Errc::out_of_memory, "no memory to tokenize a text of " + std::to_string(text.size()) + " bytes");
  }
  constexpr std::uint64_t kStepsForAWalk = 16;  // what was allocated just now
  if (!budget.spend(kStepsForAWalk)) budget.check("a pattern");
  auto* const context = static_cast<pcre2_match_context*>(context_.get());
  constexpr std::uint32_t kHeapKibibytes = 256 * 1024;  // of the interpreter, where there is no compiled code
  pcre2_set_heap_limit(context, kHeapKibibytes);
}

bool RegexSplitter::Walk::find() {
  auto* const context = static_cast<pcre2_match_context*>(context_.get());
  while (from_ <= text_.size()) {
    RegexSteps steps{budget_, splitter_->steps_for_a_start_, from_};
    pcre2_set_callout(context, &count_steps, &steps);
    const auto search = [&](std::uint32_t options) {
      return pcre2_match(code_of(splitter_->code_.get()), reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(),
                         from_, options, match_of(match_.get()), context);
    };
    int result = search(PCRE2_NO_UTF_CHECK);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && !stack_) {
      // A group that repeats over a long word: the machine's stack, on which short matches run, has 32 KiB for it.
      constexpr std::size_t kFirst = 64 * 1024, kMaxBytes = std::size_t{256} << 20;
      stack_.reset(pcre2_jit_stack_create(kFirst, kMaxBytes, nullptr));
      if (stack_) pcre2_jit_stack_assign(context, nullptr, stack_.get());
      if (stack_) result = search(PCRE2_NO_UTF_CHECK);
    }
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result < 0) refuse(result);
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

void RegexSplitter::Walk::refuse(int code) const {
  if (code == PCRE2_ERROR_CALLOUT) budget_->check("a pattern");
  throw Error(Errc::limit_exceeded, "a text of " + std::to_string(text_.size()) +
                                        " bytes cannot be split by the pattern " + splitter_->pattern_ + ": " +
                                        pcre2_message(code) + "; shorten it");
}

bool RegexSplitter::Walk::next_match(std::size_t& begin, std::size_t& end) {
  if (!find()) return false;
  begin = match_begin_;
  end = match_end_;
  return true;
}

std::string_view RegexSplitter::Walk::next() {
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
