// The blocking facade: no Asio in sight.
//
//   example_blocking [MODEL]      a directory or a repository id; default: the published Stella Small
#include <cstdio>
#include <string>
#include <vector>

#include <stella/error.hpp>
#include <stella/sync.hpp>

int main(int argc, char** argv) {
  try {
    const stella::sync::Model model = stella::sync::Model::load(argc > 1 ? argv[1] : "NovaSearch/stella_en_400M_v5");
    for (const std::size_t dimension : model.supported_dimensions()) {
      const std::vector<float> vector = model.embed("What is the capital of China?", "s2p", dimension);
      std::printf("%5zu  %+.4f %+.4f %+.4f …\n", vector.size(), static_cast<double>(vector[0]),
                  static_cast<double>(vector[1]), static_cast<double>(vector[2]));
    }
  } catch (const stella::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
