#include "server/routes/embedded.hpp"

#include <utility>

namespace stella::server {

Embedded::Embedded(const std::vector<bool>& is_ids, EmbedResult texts, EmbedResult ids)
    : texts_(std::move(texts)), ids_(std::move(ids)) {
  std::size_t next_text = 0;
  std::size_t next_ids = 0;
  for (const bool of_ids : is_ids) places_.push_back({of_ids, of_ids ? next_ids++ : next_text++});
}

std::span<const float> Embedded::vector(std::size_t index, std::size_t dimension) const {
  return result_of(index).vectors.at(dimension).row(places_[index].row);
}

const FloatMatrix& Embedded::token_states(std::size_t index) const {
  return result_of(index).token_states.at(places_[index].row);
}

const TokenCount& Embedded::count(std::size_t index) const {
  return result_of(index).texts.at(places_[index].row);
}

std::size_t Embedded::truncated() const {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < size(); ++i) sum += count(i).truncated ? 1 : 0;
  return sum;
}

}  // namespace stella::server
