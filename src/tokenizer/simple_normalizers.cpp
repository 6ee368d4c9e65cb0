#include "tokenizer/simple_normalizers.hpp"

#include "base/utf8.hpp"
#include "tokenizer/normalizer.hpp"

namespace stella::tokenizer {
namespace {

constexpr std::size_t kStepsPerAddedByte = 8;  // all that comes after a normalizer works on what it adds

}  // namespace

std::string_view LowercaseNormalizer::apply(std::string_view text, NormalizerScratch& scratch) const {
  scratch.text.clear();
  for (const char *at = text.data(), *const end = at + text.size(); at != end;) {
    const utf8::Decoded c = utf8::decode(at);
    std::uint32_t buffer = 0;
    for (const char32_t lower : table_->lowercase(c.value, buffer)) utf8::append(scratch.text, lower);
    at += c.length;
  }
  return scratch.text;
}

std::string_view StripAccentsNormalizer::apply(std::string_view text, NormalizerScratch& scratch) const {
  scratch.text.clear();
  for (const char *at = text.data(), *const end = at + text.size(); at != end;) {
    const utf8::Decoded c = utf8::decode(at);
    if ((table_->info(c.value) & kCombining) == 0) scratch.text.append(at, c.length);
    at += c.length;
  }
  return scratch.text;
}

std::string_view StripNormalizer::apply(std::string_view text, NormalizerScratch&) const {
  const auto is_white = [&](const char* at) { return (table_->info(utf8::decode(at).value) & kWhite) != 0; };
  const char* begin = text.data();
  const char* end = begin + text.size();
  while (left_ && begin != end && is_white(begin)) begin += utf8::decode(begin).length;
  while (right_ && begin != end && is_white(utf8::previous(end))) end = utf8::previous(end);
  return {begin, static_cast<std::size_t>(end - begin)};
}

std::string_view PrependNormalizer::apply(std::string_view text, NormalizerScratch& scratch, Budget& budget) const {
  if (text.empty()) return text;
  if (!budget.spend(kStepsPerAddedByte * prefix_.size())) budget.check("normalizer Prepend");
  return scratch.text.assign(prefix_).append(text);
}

std::string_view ReplaceNormalizer::apply(std::string_view text, NormalizerScratch& scratch, Budget& budget) const {
  if (text.empty()) return text;
  scratch.text.clear();
  Matches matches(pattern_, text, budget);
  std::size_t done = 0;
  for (Matches::Match match{}; matches.next(match); done = match.end) {
    const std::size_t replaced = match.end - match.begin;
    const std::size_t growth = content_.size() > replaced ? content_.size() - replaced : 0;
    if (!budget.spend(1 + kStepsPerAddedByte * growth)) budget.check("normalizer Replace");
    scratch.text.append(text.substr(done, match.begin - done)).append(content_);
  }
  if (done == 0 && scratch.text.empty()) return text;
  return scratch.text.append(text.substr(done));
}

}  // namespace stella::tokenizer
