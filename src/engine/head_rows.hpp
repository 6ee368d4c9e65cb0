// The rows of a packed batch that go through one head.
#pragma once

#include "models/encoder.hpp"

#include <cstddef>
#include <vector>

namespace stella::engine {

/// Several requests may share a head: their rows go through it together.
struct HeadRows {
  const models::DenseHead* head = nullptr;  // null: the pooled vector itself
  std::vector<std::size_t> rows;
  std::vector<std::vector<float>*> out;  // where each row's vector goes
  std::vector<bool> normalize;
};

/// pooled (sequences, hidden) → every vector of `group`.
void apply_head(const HeadRows& group, const std::vector<float>& pooled, std::size_t hidden, ParallelTeam& team,
                models::Activations& scratch);

}  // namespace stella::engine
