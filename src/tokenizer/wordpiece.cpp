#include "tokenizer/wordpiece.hpp"

#include <algorithm>

namespace stella::tokenizer {

WordPiece::WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options) : options_(options) {
  trie_.reserve(vocabulary.size() * 4);
  vocabulary.for_each([this](std::string_view token, std::int32_t id) { trie_.insert(token, id); });
  continuation_ = trie_.find(options_.continuing_subword_prefix);
}

void WordPiece::encode_word(std::string_view word, Scratch&, Budget& budget, std::vector<std::int32_t>& ids) const {
  encode(word, budget, ids, [](std::size_t, std::size_t) {});
}

void WordPiece::encode_word(std::string_view word, Scratch&, Budget& budget, std::vector<std::int32_t>& ids,
                            std::vector<TokenOffsets>& ranges) const {
  const std::size_t before = ranges.size();
  if (encode(word, budget, ids, [&](std::size_t begin, std::size_t end) { ranges.push_back({begin, end}); })) return;
  ranges.resize(before);
  ranges.push_back({0, word.size()});
}

template <class Use>
bool WordPiece::encode(std::string_view word, Budget& budget, std::vector<std::int32_t>& ids, Use&& use) const {
  const std::size_t before = ids.size();
  const auto unknown = [&] {
    ids.resize(before);
    ids.push_back(options_.unk_id);
    return false;
  };
  if (word.size() > options_.max_input_chars_per_word) {
    const auto chars =
        std::count_if(word.begin(), word.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
    if (static_cast<std::size_t>(chars) > options_.max_input_chars_per_word) return unknown();
  }
  for (std::size_t begin = 0; begin < word.size();) {
    std::uint32_t node = begin == 0 ? ByteTrie::kRoot : continuation_;
    std::int32_t longest = -1;
    std::size_t end = begin;
    std::size_t i = begin;
    for (; i < word.size() && node != ByteTrie::kNone; ++i) {
      node = trie_.child(node, word[i]);
      if (node == ByteTrie::kNone) break;
      if (const std::int32_t id = trie_.value(node); id >= 0) {
        longest = id;
        end = i + 1;
      }
    }
    if (!budget.spend(i - end)) budget.check("model WordPiece");  // bytes that will be looked at again
    if (longest < 0) return unknown();
    ids.push_back(longest);
    use(begin, end);
    begin = end;
  }
  return true;
}

}  // namespace stella::tokenizer
