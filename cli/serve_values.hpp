// What the values of the flags of `stella serve` mean. Functions throw Failure for those that mean nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace stella::cli {

struct NamedModel {
  std::string id;
  std::optional<std::string> revision{};
};
/// "org/name@revision". What is a directory has no revision; its name may have an @.
NamedModel named_model(const std::string& text);
std::uint16_t port_number(const std::string& text);
/// Of a file, in octal.
unsigned socket_mode(const std::string& text);
/// `value`, if it is one of the names.
std::string choice(const char* option, const std::string& value, const std::array<const char*, 2>& names);
/// --precision for --dtype.
std::string precision_of_dtype(const std::string& dtype);
/// HOSTNAME where it is an address, else loopback.
std::string host_of_environment();
std::vector<std::string> split_at_commas(const std::vector<std::string>& lists);

std::string text_of_file(const char* option, const std::string& path);
/// One a line, at least one.
std::vector<std::string> keys_of_file(const std::string& path);
/// Of API_KEY, TEI's variable, without which who comes from there would serve everybody, and of STELLA_API_KEY, which
/// `stella bench` reads too.
std::vector<std::string> keys_of_environment();

}  // namespace stella::cli
