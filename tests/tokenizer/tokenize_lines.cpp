// tokenize_lines TOKENIZER.JSON: answers each line of JSON on standard input with one line.
//   [max_length or null, text]                                     number of tokens before truncation, and the ids
//   {"text": …, "max_length": … or null, "add_special_tokens": …}  [[id, start, stop, special], …]
//   {"ids": […], "skip_special_tokens": …}                         the text, as a JSON string
// The cross tests compare them with the Hugging Face library's.
#include "base/json.hpp"
#include "tokenizer/tokenizer.hpp"

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace {

namespace json = stella::json;
using stella::tokenizer::Tokenizer;

std::string ids(const Tokenizer& tokenizer, const json::array& request) {
  stella::tokenizer::EncodeOptions options;
  if (!request.at(0).is_null()) options.max_length = request.at(0).to_number<std::size_t>();
  const auto encoding = tokenizer.encode(request.at(1).as_string(), options);
  std::string answer = std::to_string(encoding.full_tokens);
  for (const std::int32_t id : encoding.ids) answer += ' ' + std::to_string(id);
  return answer;
}

std::string offsets(const Tokenizer& tokenizer, const json::object& request) {
  stella::tokenizer::EncodeOptions options{.add_special_tokens = request.at("add_special_tokens").as_bool(),
                                           .offsets = true};
  const json::value& length = request.at("max_length");
  if (!length.is_null()) options.max_length = length.to_number<std::size_t>();
  const auto encoding = tokenizer.encode(request.at("text").as_string(), options);
  json::array answer;
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    answer.push_back(
        {encoding.ids[i], encoding.offsets.at(i).start, encoding.offsets.at(i).stop, encoding.special.at(i)});
  }
  return json::serialize(answer);
}

std::string text(const Tokenizer& tokenizer, const json::object& request) {
  const auto ids = json::value_to<std::vector<std::int32_t>>(request.at("ids"));
  return json::serialize(json::string(tokenizer.decode(ids, request.at("skip_special_tokens").as_bool())));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: tokenize_lines TOKENIZER.JSON\n";
    return 2;
  }
  std::ios::sync_with_stdio(false);
  const auto tokenizer = Tokenizer::from_file(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    const json::value request = json::parse(line);
    if (request.is_array()) {
      std::cout << ids(tokenizer, request.as_array());
    } else if (request.as_object().contains("ids")) {
      std::cout << text(tokenizer, request.as_object());
    } else {
      std::cout << offsets(tokenizer, request.as_object());
    }
    std::cout << '\n' << std::flush;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
