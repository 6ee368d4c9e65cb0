// stella.cpp as a process that answers timing requests, for compare.py; the same protocol as peers.py.
//
//     bench_ours CHECKPOINT WORKLOAD.jsonl [--precision P] [--kernels K] [--threads N] [--texts N] [--batch N]
//     [--max-length N]
//
// K is a kernel set's name, or no-amx: what `auto` is on this processor without tiles.
// --batch 0 (the default) hands over the whole workload and lets the engine form its batches; N > 0 waits for each N
// texts before the next, so 1 is one query at a time. Each line on standard input is answered by one timed pass, after
// one text that is not timed: it brings back what the system took from a process that waited for its turn.
#include "kernel_choice.hpp"
#include "stella/stella.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <utility>
#include <vector>

#include <boost/asio/use_future.hpp>
#include <boost/json/src.hpp>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::string> read_workload(const std::string& path, std::size_t limit) {
  std::vector<std::string> texts;
  std::ifstream in(path);
  for (std::string line; texts.size() < limit && std::getline(in, line);) {
    texts.emplace_back(boost::json::parse(line).as_string());
  }
  if (texts.empty()) throw std::runtime_error("no texts in " + path);
  return texts;
}

long peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

int run(int argc, char** argv) {
  std::map<std::string, std::string> options{{"--precision", "f32"}, {"--kernels", "auto"}, {"--threads", "0"},
                                             {"--texts", "1000000"}, {"--batch", "0"},      {"--max-length", "512"}};
  for (int i = 3; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  const std::vector<std::string> texts = read_workload(argv[2], std::stoul(options["--texts"]));
  const std::size_t batch = std::stoul(options["--batch"]) == 0 ? texts.size() : std::stoul(options["--batch"]);

  const stella::KernelSet kernels = stella::bench::choose_kernels(options["--kernels"]);
  const auto started = Clock::now();
  stella::ModelOptions model_options;
  model_options.precision = stella::parse_precision(options["--precision"]);
  model_options.runtime = std::make_shared<stella::Runtime>(
      stella::RuntimeOptions{.compute_threads = std::stoul(options["--threads"]), .kernels = kernels});
  auto model =
      stella::LoadedStellaModel::load(stella::StellaEmbeddingModel(argv[1], model_options), boost::asio::use_future)
          .get();
  const stella::EmbedOptions embed{
      .task = "none", .dimensions = {1024}, .max_length = std::stoul(options["--max-length"])};
  const auto warm = model.batch_embed({texts.front()}, embed, boost::asio::use_future).get();
  std::cout << boost::json::object{{"ready", std::string("stella.cpp ") + stella::to_string(model.precision())},
                                   {"first_vector_s", seconds_since(started)},
                                   {"weight_bytes", model.weight_bytes()},
                                   {"vector", boost::json::value_from(warm.front().vectors.front().second)}}
            << std::endl;

  for (std::string line; std::getline(std::cin, line);) {
    std::size_t tokens = 0;
    std::size_t token_pairs = 0;  // what attention's work grows with
    model.batch_embed({texts.front()}, embed, boost::asio::use_future).get();
    const auto start = Clock::now();
    for (std::size_t first = 0; first < texts.size(); first += batch) {
      const std::size_t last = std::min(first + batch, texts.size());
      std::vector<std::string> part(texts.begin() + static_cast<long>(first), texts.begin() + static_cast<long>(last));
      for (const auto& row : model.batch_embed(std::move(part), embed, boost::asio::use_future).get()) {
        tokens += row.tokens;
        token_pairs += row.tokens * row.tokens;
      }
    }
    std::cout << boost::json::object{{"seconds", seconds_since(start)},
                                     {"tokens", tokens},
                                     {"token_pairs", token_pairs},
                                     {"texts", texts.size()},
                                     {"peak_mb", peak_memory_mb()}}
              << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: bench_ours CHECKPOINT WORKLOAD.jsonl [options]\n";
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "bench_ours: " << error.what() << "\n";
    return 1;
  }
}
