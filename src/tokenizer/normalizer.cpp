#include "tokenizer/normalizer.hpp"

#include "base/utf8.hpp"

#include <algorithm>
#include <utility>

namespace stella::tokenizer {
namespace {

/// Calls `put(code point)` with each part of the canonical decomposition of `c`.
template <class Put>
void decompose(const CharTable& table, char32_t c, Put&& put) {
  if (hangul::is_syllable(c)) {
    const char32_t syllable = c - hangul::kSyllables;
    const char32_t trailing = syllable % hangul::kTrailingCount;
    put(hangul::kLeading + syllable / (hangul::kVowelCount * hangul::kTrailingCount));
    put(hangul::kVowel + syllable / hangul::kTrailingCount % hangul::kVowelCount);
    if (trailing != 0) put(hangul::kTrailing + trailing);
    return;
  }
  for (const char32_t part : table.decomposition(c)) put(part);
}

/// Orders every run of marks by rank, keeping the order of equals.
template <class Mark>
void order_marks(std::vector<Mark>& marks) {
  const auto lower = [](const Mark& a, const Mark& b) { return a.rank < b.rank; };
  for (auto at = marks.begin(); at != marks.end();) {
    if (at->rank == 0) {
      ++at;
      continue;
    }
    const auto end = std::find_if(at, marks.end(), [](const Mark& mark) { return mark.rank == 0; });
    if (!std::is_sorted(at, end, lower)) std::stable_sort(at, end, lower);
    at = end;
  }
}

/// The composition algorithm of the Unicode standard (section 3.11) over ordered, decomposed text.
template <class Mark>
void compose(const CharTable& table, std::vector<Mark>& marks) {
  std::size_t kept = 0;            // marks[0, kept) is composed
  std::size_t starter = SIZE_MAX;  // index of the last starter
  std::uint32_t last_rank = 0;     // of the last mark kept after it
  for (const Mark mark : marks) {
    const bool blocked = kept != starter + 1 && last_rank >= mark.rank;
    if (starter != SIZE_MAX && !blocked) {
      if (const char32_t composite = table.compose(marks[starter].value, mark.value); composite != 0) {
        marks[starter].value = composite;
        if constexpr (requires { mark.change; }) marks[starter].change += mark.change - 1;
        continue;
      }
    }
    if (mark.rank == 0) starter = kept;
    last_rank = mark.rank;
    marks[kept++] = mark;
  }
  marks.resize(kept);
}

/// A character of a normal form, and what it does to those of the text, which are taken from left to right whatever
/// order their marks end up in.
struct Change {
  char32_t value;
  std::uint32_t rank;
  int change;  // 1: put in; 0: in place of the next character; -n: of that one and n more
};

/// The decomposition of `text`, ordered.
std::vector<Change> decomposed(const CharTable& table, std::string_view text) {
  std::vector<Change> changes;
  changes.reserve(text.size());
  for (const char *at = text.data(), *const end = at + text.size(); at != end;) {
    const utf8::Decoded c = utf8::decode(at);
    int change = 0;
    const auto put = [&](char32_t part) {
      changes.push_back({part, combining_rank(table.info(part)), std::exchange(change, 1)});
    };
    if ((table.info(c.value) & kDecomposes) != 0) {
      decompose(table, c.value, put);
    } else {
      put(c.value);
    }
    at += c.length;
  }
  order_marks(changes);
  return changes;
}

AlignedText rewritten(const AlignedText& text, const std::vector<Change>& changes) {
  AlignedText result = AlignedText::after(text);
  std::size_t at = 0;
  const auto skip = [&] { at += utf8::decode(text.text().data() + at).length; };
  for (const Change& change : changes) {
    result.append(change.value, change.change > 0 ? text.before(at) : text.offsets()[at]);
    for (int gone = change.change; gone <= 0; ++gone) skip();
  }
  return result;
}

}  // namespace

std::string_view NfcNormalizer::apply(std::string_view text, NormalizerScratch& scratch) const {
  const char* const end = text.data() + text.size();
  const char* copied = text.data();  // what precedes is in scratch.text already
  const char* at = text.data();
  bool changed = false;
  while (at != end) {
    at += utf8::ascii_prefix(at, end);
    if (at == end) break;
    utf8::Decoded c = utf8::decode(at);
    if ((table_->info(c.value) & kNotComposed) == 0) {
      at += c.length;
      continue;
    }
    if (!changed) scratch.text.clear();
    changed = true;
    // The character before may take part: it is a starter, or it would be in the stretch before.
    const char* const from = at == copied ? at : utf8::previous(at);
    scratch.text.append(copied, from);
    scratch.pending.clear();
    const auto put = [&](char32_t part) { scratch.pending.push_back({part, combining_rank(table_->info(part))}); };
    for (at = from; at != end; at += c.length) {
      c = utf8::decode(at);
      const std::uint32_t info = table_->info(c.value);
      if (at != from && (info & kNotComposed) == 0) break;
      if ((info & kDecomposes) != 0) {
        decompose(*table_, c.value, put);
      } else {
        put(c.value);
      }
    }
    order_marks(scratch.pending);
    compose(*table_, scratch.pending);
    for (const Ranked& mark : scratch.pending) utf8::append(scratch.text, mark.value);
    copied = at;
  }
  if (!changed) return text;
  scratch.text.append(copied, end);
  return scratch.text;
}

void NfcNormalizer::apply(AlignedText& text) const {
  std::vector<Change> changes = decomposed(*table_, text.text());
  compose(*table_, changes);
  text = rewritten(text, changes);
}

std::string_view NfdNormalizer::apply(std::string_view text, NormalizerScratch& scratch) const {
  scratch.text.clear();
  scratch.pending.clear();
  const auto put = [&](char32_t part) {
    const std::uint32_t rank = combining_rank(table_->info(part));
    if (rank == 0) {  // marks behind it stay there, and those before it are complete
      order_marks(scratch.pending);
      for (const Ranked& mark : scratch.pending) utf8::append(scratch.text, mark.value);
      scratch.pending.clear();
    }
    scratch.pending.push_back({part, rank});
  };
  for (const char *at = text.data(), *const end = at + text.size(); at != end;) {
    const utf8::Decoded c = utf8::decode(at);
    if ((table_->info(c.value) & kDecomposes) != 0) {
      decompose(*table_, c.value, put);
    } else {
      put(c.value);
    }
    at += c.length;
  }
  order_marks(scratch.pending);
  for (const Ranked& mark : scratch.pending) utf8::append(scratch.text, mark.value);
  return scratch.text;
}

void NfdNormalizer::apply(AlignedText& text) const {
  text = rewritten(text, decomposed(*table_, text.text()));
}

BertNormalizer::BertNormalizer(const BertNormalizerOptions& options)
    : options_(options), table_(&CharTable::instance()) {
  for (char32_t c = 0; c < 128; ++c) {
    const std::uint32_t info = table_->info(c);
    std::uint32_t buffer = c;
    ascii_[c] = static_cast<char>(options.lowercase ? table_->lowercase(c, buffer)[0] : c);
    if (options.clean_text && (info & kBlanked) != 0) ascii_[c] = ' ';
    ascii_dropped_[c] = options.clean_text && (info & kDropped) != 0;
  }
}

std::string_view BertNormalizer::apply(std::string_view text, NormalizerScratch& scratch) const {
  scratch.text.clear();
  scratch.pending.clear();
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    if (const auto byte = static_cast<unsigned char>(*at); byte < 0x80) {
      ++at;
      if (ascii_dropped_[byte]) continue;
      if (!scratch.pending.empty()) flush(scratch);
      scratch.text.push_back(ascii_[byte]);
      continue;
    }
    const utf8::Decoded c = utf8::decode(at);
    at += c.length;
    const std::uint32_t info = table_->info(c.value);
    if (options_.clean_text && (info & kDropped) != 0) continue;
    if (options_.clean_text && (info & kBlanked) != 0) {
      put(U' ', scratch);
    } else if (options_.handle_chinese_chars && (info & kCjk) != 0) {
      put(U' ', scratch);
      put_decomposed(c.value, scratch);
      put(U' ', scratch);
    } else {
      put_decomposed(c.value, scratch);
    }
  }
  flush(scratch);
  return scratch.text;
}

/// Step by step, as the library does it: the steps share no buffer, and so a mark that moves is followed as there.
void BertNormalizer::apply(AlignedText& text) const {
  if (options_.clean_text || options_.handle_chinese_chars) {
    text.map([&](char32_t c, const auto& put) {
      const std::uint32_t info = table_->info(c);
      if (options_.clean_text && (info & kDropped) != 0) return;
      const bool spaced = options_.handle_chinese_chars && (info & kCjk) != 0;
      if (spaced) put(U' ');
      put(options_.clean_text && (info & kBlanked) != 0 ? U' ' : c);
      if (spaced) put(U' ');
    });
  }
  if (options_.strip_accents) {
    NfdNormalizer{}.apply(text);
    text.map([&](char32_t c, const auto& put) {
      if ((table_->info(c) & kMark) == 0) put(c);
    });
  }
  if (options_.lowercase) LowercaseNormalizer{}.apply(text);
}

void BertNormalizer::put_decomposed(char32_t c, NormalizerScratch& scratch) const {
  if (options_.strip_accents && (table_->info(c) & kDecomposes) != 0) {
    decompose(*table_, c, [&](char32_t part) { put(part, scratch); });
  } else {
    put(c, scratch);
  }
}

void BertNormalizer::put(char32_t c, NormalizerScratch& scratch) const {
  if (options_.strip_accents) {
    const std::uint32_t info = table_->info(c);
    // Dropping a mark before ordering leaves the others in the order that they would have after it.
    if ((info & kMark) != 0) return;
    if (combining_rank(info) != 0) {
      scratch.pending.push_back({c, combining_rank(info)});
      return;
    }
    if (!scratch.pending.empty()) flush(scratch);
  }
  put_lower(c, scratch.text);
}

void BertNormalizer::put_lower(char32_t c, std::string& to) const {
  if (options_.lowercase && (table_->info(c) & kUppercase) != 0) {
    std::uint32_t buffer = 0;
    for (const char32_t lower : table_->lowercase(c, buffer)) utf8::append(to, lower);
  } else {
    utf8::append(to, c);
  }
}

void BertNormalizer::flush(NormalizerScratch& scratch) const {
  order_marks(scratch.pending);
  for (const Ranked& mark : scratch.pending) put_lower(mark.value, scratch.text);
  scratch.pending.clear();
}

}  // namespace stella::tokenizer
