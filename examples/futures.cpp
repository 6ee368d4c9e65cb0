// Futures: for programs with threads of their own and no event loop.
//
//   example_futures [MODEL]      a directory or a repository id; default: the published Stella Small
#include <cstdio>
#include <exception>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/use_future.hpp>

#include <stella/stella.hpp>

int main(int argc, char** argv) {
  try {
    stella::StellaEmbeddingModel model{argc > 1 ? argv[1] : "NovaSearch/stella_en_400M_v5"};
    stella::LoadedStellaModel loaded = stella::LoadedStellaModel::load(model, boost::asio::use_future).get();
    std::printf("%s: %zu layers, %zu MiB of weights\n", loaded.info().name.c_str(), loaded.description().layers,
                loaded.weight_bytes() / (1024 * 1024));

    // Requests under way at the same time share forward passes.
    std::vector<std::pair<std::string, std::future<std::vector<float>>>> pending;
    for (const std::string text : {"A man is playing guitar.", "The cat sits outside.", "What are safetensors?"}) {
      pending.emplace_back(text, loaded.embed(text, "s2s", 256, boost::asio::use_future));
    }
    for (auto& [text, future] : pending) {
      const std::vector<float> vector = future.get();
      std::printf("[%+.4f %+.4f %+.4f … %zu]  %s\n", static_cast<double>(vector[0]), static_cast<double>(vector[1]),
                  static_cast<double>(vector[2]), vector.size(), text.c_str());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
