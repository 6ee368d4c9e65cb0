#include "tokenizer/vocabulary.hpp"

#include <array>
#include <bit>
#include <unistd.h>

namespace stella::tokenizer {

HashSeed::HashSeed() noexcept {
  std::array<std::uint64_t, 2> drawn{};
  if (::getentropy(drawn.data(), sizeof(drawn)) != 0) return;  // a system without it: the constants must do
  a = drawn[0];
  b = drawn[1] | 1;
}

void Vocabulary::reserve(std::size_t tokens, std::size_t bytes) {
  text_.reserve(bytes);
  entries_.reserve(tokens);
  by_id_.reserve(tokens);
  if (tokens * 2 > slots_.size()) grow(std::bit_ceil(tokens * 2));
}

std::size_t Vocabulary::find_slot(std::string_view token, std::uint64_t hash) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  const auto upper = static_cast<std::uint32_t>(hash >> 32);
  std::size_t at = hash & mask;
  while (slots_[at].entry != 0 && (slots_[at].hash != upper || text(entries_[slots_[at].entry - 1]) != token)) {
    at = (at + 1) & mask;
  }
  return at;
}

void Vocabulary::grow(std::size_t slots) {
  slots_.assign(slots, Slot{});
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const std::string_view token = text(entries_[i]);
    const std::uint64_t hash = this->hash(token);
    slots_[find_slot(token, hash)] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(i + 1)};
  }
}

void Vocabulary::set(std::string_view token, std::int32_t id) {
  if ((entries_.size() + 1) * 2 > slots_.size()) grow(slots_.empty() ? 64 : slots_.size() * 2);
  const std::uint64_t hash = this->hash(token);
  Slot& slot = slots_[find_slot(token, hash)];
  if (slot.entry == 0) {
    entries_.push_back({static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(token.size()), id});
    text_.append(token);
    slot = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(entries_.size())};
  } else {
    Entry& entry = entries_[slot.entry - 1];
    std::uint32_t& old = by_id_[static_cast<std::size_t>(entry.id)];
    if (old == slot.entry) old = 0;
    entry.id = id;
  }
  const auto index = static_cast<std::size_t>(id);
  if (index >= by_id_.size()) by_id_.resize(index + 1);
  by_id_[index] = slot.entry;
}

std::int32_t Vocabulary::find(std::string_view token, std::uint64_t hash) const noexcept {
  if (slots_.empty()) return -1;
  const Slot& slot = slots_[find_slot(token, hash)];
  return slot.entry == 0 ? -1 : entries_[slot.entry - 1].id;
}

std::string_view Vocabulary::token(std::int32_t id) const noexcept {
  const auto index = static_cast<std::size_t>(id);
  if (id < 0 || index >= by_id_.size() || by_id_[index] == 0) return {};
  return text(entries_[by_id_[index] - 1]);
}

}  // namespace stella::tokenizer
