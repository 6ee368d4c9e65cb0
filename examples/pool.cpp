// Several models in one process, within one budget of memory; blocking calls over the pool's callbacks.
//
//   example_pool MODEL...      directories or repository ids
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <stella/error.hpp>
#include <stella/pool.hpp>
#include <stella/sync.hpp>

using stella::sync::wait_for;

int main(int argc, char** argv) {
  try {
    stella::PoolOptions options;
    options.memory_limit = stella::ModelPool::default_memory_limit() / 2;
    stella::ModelPool pool(options);
    const std::vector<std::string> names(argv + 1, argv + argc);
    for (const std::string& name : names) pool.add(name);
    for (const std::string& name : names) {  // each is loaded here, and others go if they do not fit beside it
      const auto result = wait_for<stella::EmbedResult>([&](auto done) {
        pool.embed(name, stella::request_for("What is the capital of China?", "s2p", {}), {}, std::move(done));
      });
      std::printf("%s: %zu floats\n", name.c_str(), result.vectors.at(0).columns);
    }
    for (const stella::ModelStatus& model : pool.models()) {
      std::printf("%s: %s, %llu KiB of its own, %llu KiB mapped\n", model.name.c_str(), to_string(model.state),
                  static_cast<unsigned long long>(model.private_bytes >> 10U),
                  static_cast<unsigned long long>(model.mapped_bytes >> 10U));
    }
    wait_for<std::size_t>(
        [&](auto done) { pool.drain(std::chrono::steady_clock::now() + std::chrono::seconds(5), std::move(done)); });
    std::printf("drained: %llu bytes in use\n", static_cast<unsigned long long>(pool.memory().used));
  } catch (const stella::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
