// One pass through encoder layers of Stella Small's shape.
#pragma once

#include "kernels/table.hpp"
#include "stella/options.hpp"

#include <cstddef>
#include <vector>

namespace stella {
class ParallelTeam;
}

namespace stella::bench {

struct LayerSettings {
  std::vector<std::size_t> lengths = {12, 110, 512};  // tokens of a text; up to 2,048 tokens a pass, short ones alone
  std::size_t layers = 24;
  int turns = 5;
};

/// Prints for each length the time of every part, the tokens per second of the whole and its share of the issue limit,
/// with the operations of the matrix products and of attention counted.
void bench_layers(const kernels::Kernels& set, Precision precision, const LayerSettings& settings, ParallelTeam& team);

}  // namespace stella::bench
