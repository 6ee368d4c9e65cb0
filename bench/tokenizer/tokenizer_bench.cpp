// tokenizer_bench TOKENIZER.JSON TEXTS.JSONL: answers the commands on standard input, one line each, with JSON:
//   load     processor seconds to read and compile the tokenizer
//   encode   processor seconds to encode every text once, on one thread; tokens and bytes
// bench/tokenizer/compare_tokenizers.py drives it turn by turn with the Hugging Face library.
#include "base/json.hpp"
#include "tokenizer/tokenizer.hpp"

#include <ctime>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::vector<std::string> read_texts(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> texts;
  for (std::string line; std::getline(file, line);) {
    const stella::json::value value = stella::json::parse(line);
    texts.emplace_back(value.as_string());
  }
  return texts;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: tokenizer_bench TOKENIZER.JSON TEXTS.JSONL\n";
    return 2;
  }
  using stella::tokenizer::Tokenizer;
  const std::vector<std::string> texts = read_texts(argv[2]);
  Tokenizer tokenizer = Tokenizer::from_file(argv[1]);
  for (std::string command; std::getline(std::cin, command);) {
    const double begin = processor_seconds();
    if (command == "load") {
      tokenizer = Tokenizer::from_file(argv[1]);
      std::cout << stella::json::object{{"seconds", processor_seconds() - begin}} << std::endl;
      continue;
    }
    std::size_t tokens = 0;
    std::size_t bytes = 0;
    for (const std::string& text : texts) {
      tokens += tokenizer.encode(text).ids.size();
      bytes += text.size();
    }
    std::cout << stella::json::object{{"seconds", processor_seconds() - begin}, {"tokens", tokens}, {"bytes", bytes}}
              << std::endl;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
