// The ten lines that the installation test builds against the installed package.
#include "stella/sync.hpp"

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto model = stella::sync::Model::load(argv[1]);
  std::cout << model.embed("What are safetensors?", "s2p", 256).size() << "\n";
}
