// The issue limit as a process that answers timing requests, for bench/compare/compare.py.
//
//     bench_limit PRECISION [--kernels K] [--threads N]
//
// Each line on standard input is answered by GFLOP/s of all threads from registers only, in the kernel set that the
// library would use, at once and again when the processor has rested: products lower its clock, by a tenth on some, and
// it rises again within 15 ms. 0 where there is no such loop.
#include "base/thread_pool.hpp"
#include "kernel_choice.hpp"
#include "kernels/kernels.hpp"
#include "measure.hpp"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace stella;

struct Limits {
  double working;  // in the first milliseconds, at the clock that the work before has left
  double rested;   // median of the second half of a tenth of a second
};

Limits limits(const kernels::Kernels& set, Precision precision, ParallelTeam& team) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t kWaking = 50'000;  // steps, a fraction of a millisecond
  bench::peak_rate(set, precision, team, kWaking);
  const auto start = Clock::now();
  Limits found{bench::peak_rate(set, precision, team), 0};
  std::vector<double> rates;
  while (Clock::now() < start + std::chrono::milliseconds(100)) {
    const double rate = bench::peak_rate(set, precision, team);
    if (Clock::now() > start + std::chrono::milliseconds(50)) rates.push_back(rate);
  }
  found.rested = rates.empty() ? found.working : bench::median(rates);
  return found;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) throw std::invalid_argument("usage: bench_limit PRECISION [--kernels K] [--threads N]");
  std::map<std::string, std::string> options{{"--kernels", "auto"}, {"--threads", std::to_string(usable_processors())}};
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  const KernelSet wanted = bench::choose_kernels(options["--kernels"]);
  const kernels::Kernels& set = kernels::select(wanted);
  const Precision precision = parse_precision(argv[1]);
  ParallelTeam team(std::stoul(options["--threads"]));
  for (std::string line; std::getline(std::cin, line);) {
    const Limits found = limits(set, precision, team);
    std::printf("{\"gflops\": %.1f, \"rested\": %.1f, \"kernels\": \"%s\"}\n", found.working, found.rested,
                kernels::name_of(set));
    std::fflush(stdout);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_limit: %s\n", error.what());
  return 1;
}
