#include "measure.hpp"

#include "peak.hpp"

#include <algorithm>
#include <cstdint>
#include <ctime>

namespace stella::bench {

double now(bool processor_time) {
  timespec time{};
  ::clock_gettime(processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

std::vector<float> random_floats(std::size_t n, float scale) {
  std::vector<float> values(n);
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = (static_cast<float>(state >> 8U) * 0x1p-23F - 1.0F) * scale;
  }
  return values;
}

double peak_rate(const kernels::Kernels& set, Precision precision, ParallelTeam& team, std::size_t steps) {
  std::vector<double> done(team.size());
  const double time = seconds(team, [&] {
    team.run(team.size(), [&](std::size_t task, std::size_t) { done[task] = run_peak(set, precision, steps); });
  });
  double sum = 0;
  for (const double part : done) sum += part;
  return sum / time * 1e-9;
}

}  // namespace stella::bench
