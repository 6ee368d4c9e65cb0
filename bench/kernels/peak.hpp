// The most that one core can issue: loops that touch registers only.
#pragma once

#include "kernels/table.hpp"
#include "stella/options.hpp"

#include <cstddef>

namespace stella::bench {

/// Runs `steps` steps of the widest multiply-add of this set and precision that the processor has, and returns the
/// operations done (2 per multiply-add); 0 where there is none to compare with.
double run_peak(const kernels::Kernels& set, Precision precision, std::size_t steps);

}  // namespace stella::bench
