// Rates of the kernels at the shapes of Stella Small and Large, beside the most that the cores can issue, measured in
// turn in the same run. A share is the median over the turns, so a busy machine moves both sides alike.
//
//   stella_kernel_bench [--threads N] [--set NAME] [--precision NAME] [--rows M,...] [--shapes N] [--turns N]
//                       [--attention | --layers N] [--lengths TOKENS,...]
#include "base/thread_pool.hpp"
#include "kernels/kernels.hpp"
#include "kernels/sets.hpp"
#include "layer.hpp"
#include "measure.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace stella;
using bench::median;
using bench::peak_rate;
using bench::random_floats;
using bench::seconds;
using kernels::Kernels;

struct Shape {
  std::size_t n;
  std::size_t k;
};
constexpr Shape kShapes[] = {{3072, 1024}, {1024, 1024}, {8192, 1024},  {1024, 4096},
                             {2048, 1536}, {1536, 1536}, {17920, 1536}, {1536, 8960}};

struct Rates {
  std::vector<double> product;
  std::vector<double> share;
};

/// Runs `work` of `operations` in turn with the peak loop; each turn lasts some 5 ms.
template <class Work>
Rates measure(const Kernels& set, Precision precision, double operations, int turns, ParallelTeam& team, Work work) {
  work();
  const double once = seconds(team, work);
  const int repeats = std::max(1, static_cast<int>(0.005 / std::max(once, 1e-7)));
  Rates rates;
  for (int turn = 0; turn < turns; ++turn) {
    const double before = peak_rate(set, precision, team);
    const double time = seconds(team, [&] {
      for (int i = 0; i < repeats; ++i) work();
    });
    const double after = peak_rate(set, precision, team);
    const double rate = operations * repeats / time * 1e-9;
    rates.product.push_back(rate);
    rates.share.push_back(before + after > 0 ? 2 * rate / (before + after) : 0);
  }
  return rates;
}

void print(const std::string& what, const Rates& rates, double bytes_per_operation) {
  const double rate = median(rates.product);
  std::printf("%-46s %9.1f GFLOP/s  %5.1f %% of issue limit  %6.1f GB/s of weights\n", what.c_str(), rate,
              100 * median(rates.share), rate * bytes_per_operation);
  std::fflush(stdout);
}

struct Settings {
  std::size_t threads = usable_processors();
  std::string set{};
  Precision precision = Precision::f32;
  std::vector<std::size_t> rows = {12, 64, 512, 4096};
  int turns = 0;
  bool attention = false;
  std::size_t layers = 0;
  std::vector<std::size_t> lengths;
  std::size_t shapes = std::size(kShapes);
};

void bench_products(const Kernels& set, const Settings& settings, ParallelTeam& team) {
  for (std::size_t i = 0; i < settings.shapes; ++i) {
    const auto [n, k] = kShapes[i];
    const std::vector<float> weights = random_floats(n * k);
    const kernels::MatrixSource source{weights.data(), DType::f32, n, k};
    const kernels::PackedMatrix packed =
        kernels::pack(set, settings.precision, kernels::RowOrder::plain, {&source, 1}, team);
    for (const std::size_t m : settings.rows) {
      const std::vector<float> x = random_floats(m * k);
      std::vector<float> y(m * n);
      kernels::Workspace workspace;
      const double operations = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
      const Rates rates = measure(set, settings.precision, operations, settings.turns, team, [&] {
        kernels::matmul(set, {x.data(), m, &packed, nullptr, nullptr, y.data(), kernels::Epilogue::none}, team,
                        workspace);
      });
      print(std::string(set.name) + " " + to_string(settings.precision) + " " + std::to_string(m) + " x " +
                std::to_string(n) + " x " + std::to_string(k),
            rates, static_cast<double>(packed.bytes()) / operations);
    }
  }
}

void bench_attention(const Kernels& set, const Settings& settings, ParallelTeam& team) {
  constexpr std::size_t kHeads = 16;
  constexpr std::size_t kHeadDim = 64;
  for (const std::size_t length : settings.lengths) {
    const std::size_t sequences = std::max<std::size_t>(1, 2048 / length);
    const std::size_t tokens = sequences * length;
    const std::vector<float> qkv = random_floats(tokens * 3 * kHeads * kHeadDim);
    const std::vector<float> angles = random_floats(length * kHeadDim / 2);
    std::vector<float> out(tokens * kHeads * kHeadDim);
    std::vector<std::int32_t> offsets;
    for (std::size_t s = 0; s <= sequences; ++s) offsets.push_back(static_cast<std::int32_t>(s * length));
    kernels::Workspace workspace;
    kernels::AttentionArgs args;
    args.qkv = qkv.data();
    args.offsets = offsets;
    args.heads = kHeads;
    args.kv_heads = kHeads;
    args.head_dim = kHeadDim;
    args.rope = {angles.data(), angles.data()};
    args.out = out.data();
    args.precision = settings.precision;
    const double operations = 4.0 * static_cast<double>(tokens * length * kHeads * kHeadDim);
    const Rates rates = measure(set, Precision::f32, operations, settings.turns, team,
                                [&] { kernels::attention(set, args, team, workspace); });
    print(std::string(set.name) + " attention, " + std::to_string(sequences) + " of " + std::to_string(length), rates,
          0);
  }
}

std::vector<std::size_t> parse_list(const std::string& text) {
  std::vector<std::size_t> list;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) list.push_back(std::stoul(item));
  return list;
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--attention") {
      settings.attention = true;
      continue;
    }
    if (i + 1 == argc) throw Error(Errc::invalid_argument, "missing value of " + option);
    const std::string value = argv[++i];
    if (option == "--threads") {
      settings.threads = std::stoul(value);
    } else if (option == "--set") {
      settings.set = value;
    } else if (option == "--precision") {
      settings.precision = parse_precision(value);
    } else if (option == "--turns") {
      settings.turns = std::stoi(value);
    } else if (option == "--layers") {
      settings.layers = std::stoul(value);
    } else if (option == "--shapes") {
      settings.shapes = std::min(settings.shapes, std::size_t{std::stoul(value)});
    } else if (option == "--rows") {
      settings.rows = parse_list(value);
    } else if (option == "--lengths") {
      settings.lengths = parse_list(value);
    } else {
      throw Error(Errc::invalid_argument, "unknown option " + option);
    }
  }
  if (settings.turns == 0) settings.turns = settings.layers == 0 ? 41 : 5;
  if (settings.lengths.empty()) {
    settings.lengths = settings.layers == 0 ? std::vector<std::size_t>{12, 128, 512, 2048, 8192}
                                            : std::vector<std::size_t>{12, 110, 512};
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) try {
  const Settings settings = parse(argc, argv);
  ParallelTeam team(settings.threads);
  for (const Kernels* set : kernels::runnable_kernels()) {
    if (!settings.set.empty() && settings.set != set->name) continue;
    if (!kernels::supports(*set, settings.precision)) continue;
    std::printf("issue limit of %zu cores: %.1f GFLOP/s\n", team.size(), peak_rate(*set, settings.precision, team));
    if (settings.layers != 0) {
      bench::bench_layers(*set, settings.precision, {settings.lengths, settings.layers, settings.turns}, team);
    } else if (settings.attention) {
      bench_attention(*set, settings, team);
    } else {
      bench_products(*set, settings, team);
    }
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
