#include "tokenizer/byte_trie.hpp"

#include <bit>

namespace stella::tokenizer {

void ByteTrie::reserve(std::size_t bytes) {
  if (bytes * 2 > slots_.size()) grow(std::bit_ceil(bytes * 2));
}

void ByteTrie::grow(std::size_t slots) {
  const std::vector<Slot> old = std::move(slots_);
  slots_.assign(slots, Slot{});
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
  for (const Slot& slot : old) {
    if (slot.child == 0) continue;
    std::size_t at = place(slot.key);
    while (slots_[at].child != 0) at = (at + 1) & (slots - 1);
    slots_[at] = slot;
  }
}

void ByteTrie::insert(std::string_view string, std::int32_t value) {
  std::uint32_t node = kRoot;
  for (const char byte : string) {
    std::uint32_t next = child(node, byte);
    if (next == kNone) {
      if ((values_.size() + 1) * 2 > slots_.size()) grow(slots_.empty() ? 64 : slots_.size() * 2);
      next = static_cast<std::uint32_t>(values_.size());
      values_.push_back(-1);
      const std::uint32_t key = key_of(node, byte);
      std::size_t at = place(key);
      while (slots_[at].child != 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = {key, next};
    }
    node = next;
  }
  values_[node] = value;
}

std::uint32_t ByteTrie::find(std::string_view prefix) const noexcept {
  std::uint32_t node = kRoot;
  for (const char byte : prefix) {
    node = child(node, byte);
    if (node == kNone) break;
  }
  return node;
}

}  // namespace stella::tokenizer
