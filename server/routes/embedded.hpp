// The results of one request, text by text, whether they came from texts or from token ids.
#pragma once

#include "server/routes/inputs.hpp"

#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

namespace stella::server {

/// What was asked of the model: one request for the texts, one for the ids, none for those that are not there.
class Embedded {
 public:
  Embedded() = default;
  /// `texts` and `ids` are the results for the inputs' texts and ids, in that order.
  Embedded(const std::vector<bool>& is_ids, EmbedResult texts, EmbedResult ids);

  std::size_t size() const noexcept { return places_.size(); }
  /// Of the dimension that was asked for as the `dimension`th.
  std::span<const float> vector(std::size_t index, std::size_t dimension = 0) const;
  const FloatMatrix& token_states(std::size_t index) const;
  const TokenCount& count(std::size_t index) const;

  std::size_t truncated() const;  ///< Inputs.
  std::size_t tokens() const noexcept { return texts_.stats.tokens + ids_.stats.tokens; }
  std::chrono::nanoseconds queued() const noexcept { return texts_.stats.queued + ids_.stats.queued; }
  std::chrono::nanoseconds tokenizing() const noexcept { return texts_.stats.tokenizing + ids_.stats.tokenizing; }
  std::chrono::nanoseconds computing() const noexcept { return texts_.stats.computing + ids_.stats.computing; }

 private:
  struct Place {
    bool is_ids;
    std::size_t row;
  };
  const EmbedResult& result_of(std::size_t index) const { return places_[index].is_ids ? ids_ : texts_; }

  EmbedResult texts_{};
  EmbedResult ids_{};
  std::vector<Place> places_{};
};

}  // namespace stella::server
