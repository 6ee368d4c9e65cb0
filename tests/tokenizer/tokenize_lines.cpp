// tokenize_lines TOKENIZER.JSON: for every line [max_length or null, text] of JSON on standard input, one line with the
// number of tokens before truncation and the ids. The cross test compares them with the Hugging Face library's.
#include "tokenizer/tokenizer.hpp"

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>

#include <boost/json.hpp>

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: tokenize_lines TOKENIZER.JSON\n";
    return 2;
  }
  std::ios::sync_with_stdio(false);
  const auto tokenizer = stella::tokenizer::Tokenizer::from_file(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    const boost::json::array request = boost::json::parse(line).as_array();
    stella::tokenizer::EncodeOptions options;
    if (!request.at(0).is_null()) options.max_length = request.at(0).to_number<std::size_t>();
    const auto encoding = tokenizer.encode(request.at(1).as_string(), options);
    std::string answer = std::to_string(encoding.full_tokens);
    for (const std::int32_t id : encoding.ids) answer += ' ' + std::to_string(id);
    std::cout << answer << '\n' << std::flush;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
