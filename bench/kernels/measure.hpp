// Clocks and the issue limit, for the programs of this folder.
#pragma once

#include "base/thread_pool.hpp"
#include "kernels/table.hpp"
#include "stella/options.hpp"

#include <cstddef>
#include <vector>

namespace stella::bench {

/// Wall time in seconds, or the process's processor time, which other programs on the machine disturb less (one thread
/// only).
double now(bool processor_time);

template <class Body>
double seconds(const ParallelTeam& team, Body body) {
  const bool alone = team.size() == 1;
  const double start = now(alone);
  body();
  return now(alone) - start;
}

double median(std::vector<double> values);

/// Uniform in [-scale, scale).
std::vector<float> random_floats(std::size_t n, float scale = 1.0F);

/// GFLOP/s of all threads together from registers only; 0 where there is no such loop for this set and precision. By
/// default `steps` take milliseconds, so that waking the threads does not count.
double peak_rate(const kernels::Kernels& set, Precision precision, ParallelTeam& team, std::size_t steps = 1'000'000);

}  // namespace stella::bench
