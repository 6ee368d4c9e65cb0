// The same as program.cpp, beside a Boost.JSON of its own.
#include "stella/sync.hpp"

#include <iostream>

#include <boost/json/src.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const boost::json::value request = boost::json::parse(R"({"text": "What are safetensors?", "dimension": 256})");
  const auto model = stella::sync::Model::load(argv[1]);
  const std::string text(request.at("text").as_string());
  const auto vector = model.embed(text, "s2p", request.at("dimension").to_number<std::size_t>());
  std::cout << boost::json::serialize(boost::json::value(vector.size())) << "\n";
}
