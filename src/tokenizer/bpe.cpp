#include "tokenizer/bpe.hpp"

#include "base/utf8.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <bit>
#include <functional>

namespace stella::tokenizer {
namespace {

constexpr bool is_printable(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/// Characters of the bytes: printable ones stand for themselves, the others for U+0100 onwards.
constexpr std::array<char32_t, 256> make_byte_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) characters[byte] = is_printable(byte) ? byte : next++;
  return characters;
}

constexpr std::array<char32_t, 256> kByteCharacters = make_byte_characters();

/// The byte that a token of one character stands for, or -1.
int single_byte(std::string_view token) {
  if (token.empty() || token.size() > 2) return -1;
  const utf8::Decoded c = utf8::decode(token.data());
  if (c.length != token.size()) return -1;
  return byte_of_character(c.value);
}

[[noreturn]] void refuse_merge(const std::string& source, std::size_t rank, const std::string& token) {
  throw Error(Errc::malformed_file,
              source + ": merge " + std::to_string(rank) + " (" + token +
                  ") names a token that is not in model.vocab; download the file again",
              {.file = source});
}

}  // namespace

char32_t byte_character(unsigned char byte) noexcept {
  return kByteCharacters[byte];
}

int byte_of_character(char32_t c) noexcept {
  if (c < 256 && is_printable(c)) return static_cast<int>(c);
  const auto found = std::find(kByteCharacters.begin(), kByteCharacters.end(), c);
  return found == kByteCharacters.end() ? -1 : static_cast<int>(found - kByteCharacters.begin());
}

Bpe::Bpe(const Vocabulary& vocabulary, std::span<const Merge> merges, const BpeOptions& options,
         const std::string& source)
    : vocabulary_(&vocabulary), options_(options), byte_ranks_(std::size_t{256} * 256, kNoMerge) {
  std::string token;
  for (unsigned byte = 0; byte < 256; ++byte) {
    token.clear();
    utf8::append(token, kByteCharacters[byte]);
    byte_ids_[byte] = vocabulary.find(token);
    all_bytes_ = all_bytes_ && byte_ids_[byte] >= 0;
  }
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(64, merges.size() * 3 / 2));
  slots_.assign(slots, Slot{-1, -1, 0});
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
  merged_.reserve(merges.size());
  constexpr std::size_t kAhead = 16;  // merges whose tokens are on their way from memory while one is looked up
  std::array<std::pair<std::uint64_t, std::uint64_t>, kAhead> hashes{};
  for (std::size_t i = 0; i < merges.size() + kAhead; ++i) {
    const auto coming = hashes[i % kAhead];
    if (i < merges.size()) {
      hashes[i % kAhead] = {vocabulary.prefetch(merges[i].first), vocabulary.prefetch(merges[i].second)};
    }
    if (i < kAhead) continue;
    const auto& [left, right] = merges[i - kAhead];
    const std::int32_t left_id = vocabulary.find(left, coming.first);
    const std::int32_t right_id = vocabulary.find(right, coming.second);
    token.assign(left).append(right);
    const std::int32_t whole = find_whole(token);
    if (left_id < 0 || right_id < 0 || whole < 0) refuse_merge(source, merged_.size(), token);
    const auto rank = static_cast<std::uint32_t>(merged_.size());
    add_merge(left_id, right_id, rank);
    merged_.push_back(whole);
    if (left.size() <= 2 && right.size() <= 2) {
      const int first = single_byte(left);
      const int second = single_byte(right);
      if (first >= 0 && second >= 0) byte_ranks_[static_cast<std::size_t>(first << 8 | second)] = rank;
    }
  }
}

std::int32_t Bpe::find_whole(std::string_view token) const noexcept {
  // Most vocabularies number the 256 bytes first and then what each merge makes.
  const auto likely = static_cast<std::int32_t>(256 + merged_.size());
  return vocabulary_->token(likely) == token ? likely : vocabulary_->find(token);
}

std::size_t Bpe::place(std::int32_t left, std::int32_t right) const noexcept {
  const std::uint64_t key = std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  // Fold before multiplying: the upper bits of the product depend on all bits of a factor only from below.
  return ((key ^ key >> 29) * seed_.b) >> shift_;
}

void Bpe::add_merge(std::int32_t left, std::int32_t right, std::uint32_t rank) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = place(left, right);
  while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right)) at = (at + 1) & mask;
  slots_[at] = {left, right, rank};
}

std::uint32_t Bpe::rank(std::int32_t left, std::int32_t right) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = place(left, right);; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.left < 0) return kNoMerge;
    if (slot.left == left && slot.right == right) return slot.rank;
  }
}

void Bpe::encode_word(std::string_view word, Scratch& scratch, Budget&, std::vector<std::int32_t>& ids) const {
  if (options_.ignore_merges && whole_word(word, scratch, ids)) return;
  if (word.size() <= kShortWord) {
    merge_short(word, ids);
  } else {
    merge_long(word, scratch);
    std::copy_if(scratch.ids.begin(), scratch.ids.end(), std::back_inserter(ids),
                 [](std::int32_t id) { return id >= 0; });
  }
}

void Bpe::encode_word(std::string_view word, Scratch& scratch, Budget&, std::vector<std::int32_t>& ids,
                      std::vector<TokenOffsets>& ranges) const {
  if (options_.ignore_merges && whole_word(word, scratch, ids)) {
    ranges.push_back({0, word.size()});
    return;
  }
  merge_long(word, scratch);
  // The library counts in the bytes of the characters that stand for the word's bytes, and only of those with a token.
  std::vector<std::size_t> byte_at;     // of each such byte of the word's characters: which of the word's
  std::vector<std::size_t> ends = {0};  // of the known characters
  for (std::size_t i = 0; i < word.size(); ++i) {
    const auto byte = static_cast<unsigned char>(word[i]);
    const std::size_t length = byte_character(byte) < 0x80 ? 1 : 2;
    byte_at.insert(byte_at.end(), length, i);
    if (byte_ids_[byte] >= 0 || options_.unk_id >= 0) ends.push_back(ends.back() + length);
  }
  for (std::size_t at = 0; at < scratch.ids.size(); at = scratch.after[at]) {
    ids.push_back(scratch.ids[at]);
    ranges.push_back({byte_at[ends[at]], byte_at[ends[scratch.after[at]] - 1] + 1});
  }
}

bool Bpe::whole_word(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  scratch.characters.clear();
  for (const char byte : word) utf8::append(scratch.characters, byte_character(static_cast<unsigned char>(byte)));
  const std::int32_t id = vocabulary_->find(scratch.characters);
  if (id >= 0) ids.push_back(id);
  return id >= 0;
}

void Bpe::merge_short(std::string_view word, std::vector<std::int32_t>& ids) const {
  std::array<std::int32_t, kShortWord> tokens;
  std::array<std::uint32_t, kShortWord> ranks;  // of tokens[i] and tokens[i + 1]
  std::size_t count = 0;
  for (const char byte : word) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
    const std::int32_t known = id >= 0 ? id : options_.unk_id;
    if (known >= 0) tokens[count++] = known;
  }
  for (std::size_t i = 0; i + 1 < count; ++i) {
    ranks[i] = all_bytes_ ? byte_ranks_[static_cast<std::size_t>(static_cast<unsigned char>(word[i])) << 8 |
                                        static_cast<unsigned char>(word[i + 1])]
                          : rank(tokens[i], tokens[i + 1]);
  }
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNoMerge) break;
    tokens[best] = merged_[ranks[best]];
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      tokens[i] = tokens[i + 1];
      ranks[i - 1] = ranks[i];
    }
    --count;
    if (best > 0) ranks[best - 1] = rank(tokens[best - 1], tokens[best]);
    if (best + 1 < count) ranks[best] = rank(tokens[best], tokens[best + 1]);
  }
  ids.insert(ids.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
}

void Bpe::merge_long(std::string_view word, Scratch& scratch) const {
  std::vector<std::int32_t>& tokens = scratch.ids;
  std::vector<std::uint32_t>& ranks = scratch.ranks;
  std::vector<std::uint32_t>& before = scratch.before;
  std::vector<std::uint32_t>& after = scratch.after;
  std::vector<std::uint64_t>& queue = scratch.queue;
  tokens.clear();
  for (const char byte : word) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
    const std::int32_t known = id >= 0 ? id : options_.unk_id;
    if (known >= 0) tokens.push_back(known);
  }
  const auto count = static_cast<std::uint32_t>(tokens.size());
  ranks.assign(count, kNoMerge);
  before.resize(count);
  after.resize(count);
  queue.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    before[i] = i - 1;
    after[i] = i + 1;
    if (i + 1 < count) ranks[i] = rank(tokens[i], tokens[i + 1]);
    if (ranks[i] != kNoMerge) queue.push_back(std::uint64_t{ranks[i]} << 32 | i);
  }
  constexpr std::greater<> kLeastFirst;
  std::make_heap(queue.begin(), queue.end(), kLeastFirst);
  const auto update = [&](std::uint32_t at) {
    ranks[at] = after[at] < count ? rank(tokens[at], tokens[after[at]]) : kNoMerge;
    if (ranks[at] == kNoMerge) return;
    queue.push_back(std::uint64_t{ranks[at]} << 32 | at);
    std::push_heap(queue.begin(), queue.end(), kLeastFirst);
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), kLeastFirst);
    const auto at = static_cast<std::uint32_t>(queue.back());
    const auto top_rank = static_cast<std::uint32_t>(queue.back() >> 32);
    queue.pop_back();
    if (tokens[at] < 0 || ranks[at] != top_rank) continue;  // the pair has changed since
    const std::uint32_t gone = after[at];
    tokens[at] = merged_[top_rank];
    tokens[gone] = -1;
    after[at] = after[gone];
    if (after[at] < count) before[after[at]] = at;
    update(at);
    if (at > 0) update(before[at]);
  }
}

}  // namespace stella::tokenizer
