#include "tokenizer/simple_normalizers.hpp"

#include "base/utf8.hpp"
#include "tokenizer/normalizer_scratch.hpp"

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

void LowercaseNormalizer::apply(AlignedText& text) const {
  text.map([&](char32_t c, const auto& put) {
    std::uint32_t buffer = 0;
    for (const char32_t lower : table_->lowercase(c, buffer)) put(lower);
  });
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

void StripAccentsNormalizer::apply(AlignedText& text) const {
  text.map([&](char32_t c, const auto& put) {
    if ((table_->info(c) & kCombining) == 0) put(c);
  });
}

std::string_view StripNormalizer::apply(std::string_view text, NormalizerScratch&) const {
  const auto is_white = [&](const char* at) { return (table_->info(utf8::decode(at).value) & kWhite) != 0; };
  const char* begin = text.data();
  const char* end = begin + text.size();
  while (left_ && begin != end && is_white(begin)) begin += utf8::decode(begin).length;
  while (right_ && begin != end && is_white(utf8::previous(end))) end = utf8::previous(end);
  return {begin, static_cast<std::size_t>(end - begin)};
}

void StripNormalizer::apply(AlignedText& text) const {
  NormalizerScratch unused;
  const std::string_view kept = apply(text.text(), unused);
  const auto begin = static_cast<std::size_t>(kept.data() - text.text().data());
  AlignedText stripped = AlignedText::after(text);
  stripped.append(text, begin, begin + kept.size());
  text = std::move(stripped);
}

std::string_view PrependNormalizer::apply(std::string_view text, NormalizerScratch& scratch, Budget& budget) const {
  if (text.empty()) return text;
  if (!budget.spend(kStepsPerAddedByte * prefix_.size())) budget.check("normalizer Prepend");
  return scratch.text.assign(prefix_).append(text);
}

void PrependNormalizer::apply(AlignedText& text, Budget& budget) const {
  if (text.text().empty()) return;
  if (!budget.spend(kStepsPerAddedByte * prefix_.size())) budget.check("normalizer Prepend");
  AlignedText result = AlignedText::after(text);
  result.append(prefix_, text.offsets().front());
  result.append(text, 0, text.text().size());
  text = std::move(result);
}

template <class Use>
void ReplaceNormalizer::for_each_match(std::string_view text, Budget& budget, Use&& use) const {
  Matches matches(pattern_, text, budget);
  for (Matches::Match match{}; matches.next(match);) {
    const std::size_t replaced = match.end - match.begin;
    const std::size_t growth = content_.size() > replaced ? content_.size() - replaced : 0;
    if (!budget.spend(1 + kStepsPerAddedByte * growth)) budget.check("normalizer Replace");
    use(match);
  }
}

std::string_view ReplaceNormalizer::apply(std::string_view text, NormalizerScratch& scratch, Budget& budget) const {
  if (text.empty()) return text;
  scratch.text.clear();
  std::size_t done = 0;
  for_each_match(text, budget, [&](const Matches::Match& match) {
    scratch.text.append(text.substr(done, match.begin - done)).append(content_);
    done = match.end;
  });
  if (done == 0 && scratch.text.empty()) return text;
  return scratch.text.append(text.substr(done));
}

void ReplaceNormalizer::apply(AlignedText& text, Budget& budget) const {
  if (text.text().empty()) return;
  AlignedText result = AlignedText::after(text);
  std::size_t done = 0;
  for_each_match(text.text(), budget, [&](const Matches::Match& match) {
    result.append(text, done, match.begin);
    result.append(content_, text.before(match.end));
    done = match.end;
  });
  result.append(text, done, text.text().size());
  text = std::move(result);
}

}  // namespace stella::tokenizer
