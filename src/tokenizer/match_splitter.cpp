#include "tokenizer/match_splitter.hpp"

#include "base/utf8.hpp"

namespace stella::tokenizer {

Matches::Matches(const Pattern& pattern, std::string_view text, Budget& budget) : pattern_(&pattern), text_(text) {
  if (const auto* regex = std::get_if<RegexSplitter>(&pattern)) regex_.emplace(*regex, text, budget);
}

bool Matches::next(Match& match) {
  if (regex_) return regex_->next_match(match.begin, match.end);
  const auto* characters = std::get_if<CharPattern>(pattern_);
  if (!(characters != nullptr ? next_of(*characters, match) : next_of(std::get<StringPattern>(*pattern_), match))) {
    return false;
  }
  from_ = match.end;
  return true;
}

bool Matches::next_of(const CharPattern& pattern, Match& match) const noexcept {
  for (std::size_t at = from_; at < text_.size();) {
    const utf8::Decoded c = utf8::decode(text_.data() + at);
    if ((table_->info(c.value) & pattern.bits) != 0) {
      match = {at, at + c.length};
      return true;
    }
    at += c.length;
  }
  return false;
}

bool Matches::next_of(const StringPattern& pattern, Match& match) const noexcept {
  const std::size_t at = text_.find(pattern.text, from_);
  if (at == std::string_view::npos) return false;
  match = {at, at + pattern.text.size()};
  return true;
}

bool MatchSplitter::Walk::next_segment(Segment& segment) {
  if (!has_match_) has_match_ = matches_.next(match_);
  const std::size_t gap_end = has_match_ ? match_.begin : text_.size();
  if (at_ < gap_end) {
    segment = {at_, gap_end, splitter_->invert_};
  } else if (has_match_) {
    segment = {match_.begin, match_.end, !splitter_->invert_};
    has_match_ = false;
  } else {
    return false;
  }
  at_ = segment.end;
  return true;
}

std::string_view MatchSplitter::Walk::replace_held(const Segment& segment) {
  const std::string_view done = held_ ? text_.substr(held_->begin, held_->end - held_->begin) : std::string_view{};
  held_ = segment;
  return done;
}

std::string_view MatchSplitter::Walk::take(const Segment& segment) {
  const bool after_match = std::exchange(last_matched_, segment.is_match);
  switch (splitter_->behavior_) {
    case MatchBehavior::removed:
      return segment.is_match ? std::string_view{} : text_.substr(segment.begin, segment.end - segment.begin);
    case MatchBehavior::isolated:
      return text_.substr(segment.begin, segment.end - segment.begin);
    case MatchBehavior::contiguous:
      if (!held_ || segment.is_match != after_match) return replace_held(segment);
      break;
    case MatchBehavior::merged_with_previous:
      if (!held_ || !segment.is_match || after_match) return replace_held(segment);
      break;
    case MatchBehavior::merged_with_next:
      if (!held_ || segment.is_match || !after_match) return replace_held(segment);
      break;
  }
  held_->end = segment.end;
  return {};
}

std::string_view MatchSplitter::Walk::next() {
  Segment segment{};
  while (next_segment(segment)) {
    if (const std::string_view done = take(segment); !done.empty()) return done;
  }
  if (!held_) return {};
  const Segment last = *held_;
  held_.reset();
  return text_.substr(last.begin, last.end - last.begin);
}

}  // namespace stella::tokenizer
