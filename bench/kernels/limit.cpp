// The issue limit as a process that answers timing requests, for bench/compare/compare.py.
//
//     bench_limit PRECISION [--kernels K] [--threads N]
//
// Each line on standard input is answered by GFLOP/s of all threads from registers only, in the kernel set that the
// library would use: 0 where there is no such loop.
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

/// The median over a tenth of a second.
double limit(const kernels::Kernels& set, Precision precision, ParallelTeam& team) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  std::vector<double> rates;
  do {
    rates.push_back(bench::peak_rate(set, precision, team));
  } while (std::chrono::steady_clock::now() < end);
  return bench::median(rates);
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
    std::printf("{\"gflops\": %.1f, \"kernels\": \"%s\"}\n", limit(set, precision, team), kernels::name_of(set));
    std::fflush(stdout);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_limit: %s\n", error.what());
  return 1;
}
