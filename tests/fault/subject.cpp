// What the machine fails: one load and one embedding, or one download, in a process of its own.
//
//   fault_subject MODEL PACKED_FOLDER            a local model with packed weights
//   fault_subject REPO CACHE_FOLDER ENDPOINT     from a hub
//
// Prints "ok SUM" and ends with 0, or "error CODE: MESSAGE" and ends with 1. Then tries once more in the same process,
// which must not crash or hang either, and must be right if it says so.
#include "stella/stella.hpp"

#include <cstdio>
#include <dlfcn.h>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <boost/asio/use_future.hpp>

namespace {

std::string embed(const std::string& name, const stella::ModelOptions& options) {
  stella::StellaEmbeddingModel model(name, options);
  const std::vector<std::string> texts{"What are safetensors?", "A second text, which shares its pass with the first."};
  double sum = 0;
  stella::EmbedOptions how;
  how.task = "s2p";
  how.dimensions = {256};
  for (const stella::Embedding& row : model.batch_embed(texts, how, boost::asio::use_future).get()) {
    for (const float x : row.vectors.front().second) sum = sum * 1.0009765625 + static_cast<double>(x);
  }
  return std::to_string(sum);
}

/// The exit status.
int attempt(const std::string& name, const stella::ModelOptions& options) {
  try {
    std::printf("ok %s\n", embed(name, options).c_str());
    return 0;
  } catch (const stella::Error& error) {
    std::printf("error %s: %s\n", error.code().message().c_str(), error.what());
  } catch (const std::bad_alloc&) {
    std::printf("error out of memory: in this program\n");  // its own lists, or Asio's
  } catch (const std::exception& error) {
    std::printf("error untyped: %s\n", error.what());
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  stella::ModelOptions options;
  options.precision = stella::Precision::f32;
  options.packed_weights.directory = std::string(argv[2]) + "/packed";
  options.packed_weights.small_model_bytes = 0;
  options.hub = stella::HubOptions::from_environment();
  options.hub->cache_dir = std::string(argv[2]) + "/hub";
  if (argc > 3) options.hub->endpoint = argv[3];
  if (void* const begin = ::dlsym(RTLD_DEFAULT, "stella_fault_begin")) reinterpret_cast<void (*)()>(begin)();
  const int status = attempt(argv[1], options);
  attempt(argv[1], options);
  return status;
}
