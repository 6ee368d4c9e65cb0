#include "cli/serve_values.hpp"

#include "base/ascii.hpp"
#include "base/file.hpp"
#include "cli/failure.hpp"
#include "server/keys.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sstream>
#include <unistd.h>
#include <utility>

namespace stella::cli {

NamedModel named_model(const std::string& text) {
  const std::size_t at = text.rfind('@');
  std::error_code ignored;
  if (at == std::string::npos || std::filesystem::is_directory(text, ignored)) return {text};
  if (at + 1 == text.size())
    throw Failure(kBadInput, "the model '" + text + "' has nothing behind its @; give a branch, tag or commit there");
  return {text.substr(0, at), text.substr(at + 1)};
}

std::uint16_t port_number(const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw Failure(kBadInput, "--port '" + text + "' is not a port; give a number from 0 (the system chooses) to 65535");
  }
  return port;
}

unsigned socket_mode(const std::string& text) {
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc{} || end != text.data() + text.size() || mode > 0777) {
    throw Failure(kBadInput, "--unix-socket-mode '" + text + "' is not a mode; give 600, 660 or 666, for example");
  }
  return mode;
}

std::string choice(const char* option, const std::string& value, const std::array<const char*, 2>& names) {
  if (value == names[0] || value == names[1]) return value;
  throw Failure(kBadInput,
                std::string("unknown ") + option + " '" + value + "'; choose one of: " + names[0] + ", " + names[1]);
}

/// A pipe too, such as a shell's `<(command)`; but one that nobody writes to holds a server up for this long only.
std::string text_of_file(const char* option, const std::string& path) {
  constexpr int kPatienceMs = 5000;
  constexpr std::size_t kMaxBytes = std::size_t{1} << 20U;
  const auto refuse = [&](const std::string& why) {
    throw Failure(kBadInput,
                  "cannot read " + std::string(option) + " '" + path + "': " + why + "; give a file of text");
  };
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) refuse(std::strerror(errno));
  std::string text;
  std::array<char, 4096> block{};
  while (text.size() <= kMaxBytes) {
    pollfd ready{file.get(), POLLIN, 0};
    if (::poll(&ready, 1, kPatienceMs) == 0) refuse("nobody writes to it");
    const ssize_t got = ::read(file.get(), block.data(), block.size());
    if (got == 0) return text;
    if (got < 0 && errno != EINTR && errno != EAGAIN) refuse(std::strerror(errno));
    if (got > 0) text.append(block.data(), static_cast<std::size_t>(got));
  }
  refuse("it has more than 1 MiB");
  return {};
}

std::vector<std::string> keys_of_file(const std::string& path) {
  std::vector<std::string> keys = server::keys_of_text(text_of_file("--api-key-file", path));
  if (keys.empty()) throw Failure(kBadInput, "--api-key-file '" + path + "' has no key; write one a line");
  return keys;
}

std::vector<std::string> split_at_commas(const std::vector<std::string>& lists) {
  std::vector<std::string> all;
  for (const std::string& list : lists) {
    std::stringstream in(list);
    for (std::string one; std::getline(in, one, ',');) all.emplace_back(trim(one));
  }
  return all;
}

/// TEI's names are those of PyTorch. There is no float16 here: what it stands for is "fast, and near enough".
std::string precision_of_dtype(const std::string& dtype) {
  constexpr std::array<std::pair<const char*, const char*>, 3> kNames{
      {{"float32", "f32"}, {"bfloat16", "bf16"}, {"float16", "auto"}}};
  for (const auto& [name, precision] : kNames) {
    if (dtype == name) return precision;
  }
  throw Failure(kBadInput, "unknown --dtype '" + dtype + "'; choose one of: float32, bfloat16, float16");
}

/// What containers set to their own name counts only where it is an address.
std::string host_of_environment() {
  const char* name = std::getenv("HOSTNAME");
  std::array<unsigned char, sizeof(in6_addr)> address{};
  const bool literal = name != nullptr && (inet_pton(AF_INET, name, address.data()) == 1 ||
                                           inet_pton(AF_INET6, name, address.data()) == 1);
  return literal ? name : "127.0.0.1";
}

std::vector<std::string> keys_of_environment() {
  std::vector<std::string> keys;
  for (const char* name : {"API_KEY", "STELLA_API_KEY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') keys.emplace_back(value);
  }
  return keys;
}

}  // namespace stella::cli
