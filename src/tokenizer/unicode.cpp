#include "tokenizer/unicode.hpp"

#include "tokenizer/unicode_data.hpp"

#include <algorithm>

namespace stella::tokenizer {
namespace {

constexpr char32_t kCodePoints = 0x110000;

std::uint64_t pair_key(char32_t first, char32_t second) {
  return std::uint64_t{first} << 32 | second;
}

}  // namespace

const CharTable& CharTable::instance() {
  static const Immortal<CharTable> table;
  return *table;
}

CharTable::CharTable() {
  fill_blocks();
  index_decompositions();
  index_lowercase();
}

std::uint32_t& CharTable::slot(char32_t c) {
  std::uint16_t& place = index_[c >> 8];
  if (std::find(shared_.begin(), shared_.end(), place) != shared_.end()) {
    const std::uint32_t value = blocks_[std::size_t{place} << 8];
    place = static_cast<std::uint16_t>(blocks_.size() >> 8);
    blocks_.insert(blocks_.end(), 256, value);
  }
  return blocks_[std::size_t{place} << 8 | (c & 0xFF)];
}

void CharTable::fill_blocks() {
  const auto classes = class_runs();
  const auto ranks = combining_runs();
  std::size_t class_run = 0;
  std::size_t rank_run = 0;
  blocks_.reserve(std::size_t{400} * 256);
  for (char32_t begin = 0; begin < kCodePoints; begin += 256) {
    std::array<std::uint32_t, 256> block;
    for (std::uint32_t i = 0; i < 256; ++i) {
      const char32_t c = begin + i;
      while (class_run + 1 < classes.size() && classes[class_run + 1] >> 12 <= c) ++class_run;
      while (rank_run + 1 < ranks.size() && ranks[rank_run + 1] >> 8 <= c) ++rank_run;
      block[i] = static_cast<std::uint32_t>(classes[class_run] & 0xFFF) | (ranks[rank_run] & 0xFF) << 24;
      if (combining_rank(block[i]) != 0) block[i] |= kNotComposed;
      if (hangul::is_syllable(c)) block[i] |= kDecomposes;
    }
    const bool one_value = std::all_of(block.begin(), block.end(), [&](std::uint32_t v) { return v == block[0]; });
    const auto same = [&](std::uint16_t place) { return blocks_[std::size_t{place} << 8] == block[0]; };
    const auto known = one_value ? std::find_if(shared_.begin(), shared_.end(), same) : shared_.end();
    if (known != shared_.end()) {
      index_[begin >> 8] = *known;
      continue;
    }
    index_[begin >> 8] = static_cast<std::uint16_t>(blocks_.size() >> 8);
    if (one_value) shared_.push_back(index_[begin >> 8]);
    blocks_.insert(blocks_.end(), block.begin(), block.end());
  }
}

void CharTable::index_decompositions() {
  struct Composite {
    std::span<const std::uint32_t> parts;
    std::uint32_t value;
  };
  std::vector<Composite> composites;
  const auto data = tokenizer::decompositions();
  for (std::size_t i = 0; i < data.size();) {
    const std::uint32_t head = data[i];
    const auto parts = data.subspan(i + 1, head & 7);
    const char32_t c = head >> 4;
    decompositions_.emplace_back(c, parts);
    slot(c) |= kDecomposes;
    if ((head & 8) != 0) {
      composites.push_back({parts, c});
    } else {
      slot(c) |= kNotComposed;
    }
    i += 1 + parts.size();
  }
  // Shorter ones first: the composite of all parts but the last is then known already.
  std::stable_sort(composites.begin(), composites.end(),
                   [](const Composite& a, const Composite& b) { return a.parts.size() < b.parts.size(); });
  std::size_t done = 0;
  for (std::size_t length = 2; done < composites.size(); ++length) {
    std::vector<std::pair<std::uint64_t, std::uint32_t>> added;
    for (; done < composites.size() && composites[done].parts.size() == length; ++done) {
      const auto parts = composites[done].parts;
      char32_t first = parts[0];
      for (std::size_t i = 1; i + 1 < length; ++i) first = compose(first, parts[i]);
      added.emplace_back(pair_key(first, parts[length - 1]), composites[done].value);
      slot(parts[length - 1]) |= kNotComposed;
    }
    compositions_.insert(compositions_.end(), added.begin(), added.end());
    std::sort(compositions_.begin(), compositions_.end());
  }
  for (char32_t c = hangul::kVowel; c < hangul::kVowel + hangul::kVowelCount; ++c) slot(c) |= kNotComposed;
  for (char32_t c = hangul::kTrailing; c < hangul::kTrailing + hangul::kTrailingCount; ++c) slot(c) |= kNotComposed;
  // What decomposes into something that combines to the left does so itself.
  for (const auto& [c, parts] : decompositions_) {
    if ((info(parts[0]) & kNotComposed) != 0) slot(c) |= kNotComposed;
  }
}

void CharTable::index_lowercase() {
  for (const LowercaseRun& run : lowercase_runs()) {
    for (std::uint32_t i = 0; i < run.count; ++i) slot(run.first + i * run.step) |= kUppercase;
  }
  const auto several = lowercase_several();
  for (std::size_t i = 0; i < several.size(); i += 1 + (several[i] & 7)) slot(several[i] >> 3) |= kUppercase;
}

std::span<const std::uint32_t> CharTable::decomposition(char32_t c) const noexcept {
  const auto found = std::lower_bound(decompositions_.begin(), decompositions_.end(), c,
                                      [](const auto& entry, char32_t value) { return entry.first < value; });
  return found != decompositions_.end() && found->first == c ? found->second : std::span<const std::uint32_t>{};
}

char32_t CharTable::compose(char32_t first, char32_t second) const noexcept {
  using namespace hangul;
  if (first - kLeading < kLeadingCount && second - kVowel < kVowelCount) {
    return kSyllables + ((first - kLeading) * kVowelCount + (second - kVowel)) * kTrailingCount;
  }
  if (is_syllable(first) && (first - kSyllables) % kTrailingCount == 0 && second > kTrailing &&
      second < kTrailing + kTrailingCount) {
    return first + (second - kTrailing);
  }
  const std::uint64_t key = pair_key(first, second);
  const auto found = std::lower_bound(compositions_.begin(), compositions_.end(), key,
                                      [](const auto& entry, std::uint64_t value) { return entry.first < value; });
  return found != compositions_.end() && found->first == key ? found->second : 0;
}

std::span<const std::uint32_t> CharTable::lowercase(char32_t c, std::uint32_t& buffer) const noexcept {
  buffer = c;
  if ((info(c) & kUppercase) == 0) return {&buffer, 1};
  const auto several = lowercase_several();
  for (std::size_t i = 0; i < several.size(); i += 1 + (several[i] & 7)) {
    if (several[i] >> 3 == c) return several.subspan(i + 1, several[i] & 7);
  }
  const auto runs = lowercase_runs();
  auto run = std::upper_bound(runs.begin(), runs.end(), c,
                              [](char32_t value, const LowercaseRun& entry) { return value < entry.first; });
  // Runs of step 2 interleave, so the one that holds `c` may begin before its neighbour does.
  while (run != runs.begin()) {
    --run;
    const std::uint32_t from_first = c - run->first;
    if (from_first % run->step == 0 && from_first / run->step < run->count) {
      buffer = static_cast<std::uint32_t>(static_cast<std::int64_t>(c) + run->difference);
      break;
    }
  }
  return {&buffer, 1};
}

}  // namespace stella::tokenizer
