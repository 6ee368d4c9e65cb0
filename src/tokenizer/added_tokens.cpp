#include "tokenizer/added_tokens.hpp"

#include "base/utf8.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace stella::tokenizer {

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    trie_.insert(tokens_[i].content, static_cast<std::int32_t>(i));
    begins_[static_cast<unsigned char>(tokens_[i].content[0])] = true;
  }
  if (std::count(begins_.begin(), begins_.end(), true) == 1) {
    only_first_byte_ = static_cast<int>(std::find(begins_.begin(), begins_.end(), true) - begins_.begin());
  }
}

bool AddedTokenFinder::find(std::string_view text, std::size_t from, Budget& budget, Match& match) const {
  if (tokens_.empty()) return false;
  for (std::size_t at = from; at < text.size(); ++at) {
    if (only_first_byte_ >= 0) {
      const void* const found = std::memchr(text.data() + at, only_first_byte_, text.size() - at);
      if (found == nullptr) return false;
      at = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    } else if (!begins_[static_cast<unsigned char>(text[at])]) {
      continue;
    }
    std::int32_t longest = -1;
    std::size_t end = at;
    std::uint32_t node = ByteTrie::kRoot;
    std::size_t i = at;
    for (; i < text.size(); ++i) {
      node = trie_.child(node, text[i]);
      if (node == ByteTrie::kNone) break;
      if (const std::int32_t token = trie_.value(node); token >= 0) {
        longest = token;
        end = i + 1;
      }
    }
    if (!budget.spend(i - end)) budget.check("added_tokens");  // bytes that will be looked at again
    if (longest < 0) continue;
    const AddedToken& token = tokens_[static_cast<std::size_t>(longest)];
    const bool allowed = !token.single_word || stands_alone(text, at, end);
    match = {at, end, end, allowed ? &token : nullptr};
    return true;
  }
  return false;
}

bool AddedTokenFinder::stands_alone(std::string_view text, std::size_t begin, std::size_t end) const noexcept {
  const auto is_word = [&](const char* at) { return (table_->info(utf8::decode(at).value) & kWord) != 0; };
  if (begin != 0 && is_word(utf8::previous(text.data() + begin))) return false;
  return end == text.size() || !is_word(text.data() + end);
}

std::size_t AddedTokenFinder::before_spaces(std::string_view text, std::size_t from, std::size_t at) const noexcept {
  while (at > from) {
    const char* const last = utf8::previous(text.data() + at);
    if ((table_->info(utf8::decode(last).value) & kWhite) == 0) break;
    at = static_cast<std::size_t>(last - text.data());
  }
  return std::max(at, from);
}

std::size_t AddedTokenFinder::behind_spaces(std::string_view text, std::size_t at) const noexcept {
  while (at != text.size()) {
    const utf8::Decoded c = utf8::decode(text.data() + at);
    if ((table_->info(c.value) & kWhite) == 0) break;
    at += c.length;
  }
  return at;
}

}  // namespace stella::tokenizer
