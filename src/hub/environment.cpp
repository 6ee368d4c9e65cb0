// HubOptions::from_environment(): the variables of huggingface_hub, read as it reads them.
#include "hub/text.hpp"
#include "hub/url.hpp"
#include "stella/error.hpp"
#include "stella/hub.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <pwd.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace stella {
namespace {

namespace fs = std::filesystem;

/// A variable's value; an empty one counts as unset.
std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

std::optional<std::string> first_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (auto value = variable(name)) return value;
  }
  return std::nullopt;
}

bool is_true(const char* name) {
  const std::string value = hub::to_lower(variable(name).value_or(""));
  return value == "1" || value == "on" || value == "yes" || value == "true";
}

/// The home folder of `user`, or of this process where it is empty; nothing where it is not known.
std::optional<std::string> home_of(const std::string& user) {
  if (user.empty()) {
    if (auto home = variable("HOME")) return home;
  }
  passwd record{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (user.empty()) {
    ::getpwuid_r(::getuid(), &record, buffer.data(), buffer.size(), &found);
  } else {
    ::getpwnam_r(user.c_str(), &record, buffer.data(), buffer.size(), &found);
  }
  if (found == nullptr || found->pw_dir == nullptr) return std::nullopt;
  return std::string(found->pw_dir);
}

std::string expand_home(const std::string& path) {
  if (path.empty() || path.front() != '~') return path;
  const std::size_t slash = std::min(path.find('/'), path.size());
  const auto home = home_of(path.substr(1, slash - 1));
  return home ? *home + path.substr(slash) : path;
}

/// $NAME and ${NAME}; unset variables stay as written, as Python's os.path.expandvars leaves them.
std::string expand_variables(const std::string& path) {
  const auto is_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  std::string expanded;
  for (std::size_t i = 0; i < path.size();) {
    if (path[i] != '$') {
      expanded += path[i++];
      continue;
    }
    const bool braced = i + 1 < path.size() && path[i + 1] == '{';
    const std::size_t begin = i + (braced ? 2 : 1);
    std::size_t end = begin;
    while (end < path.size() && (braced ? path[end] != '}' : is_name(path[end]))) ++end;
    const std::size_t next = braced ? std::min(end + 1, path.size()) : end;
    const char* value = end > begin ? std::getenv(path.substr(begin, end - begin).c_str()) : nullptr;
    expanded += value != nullptr ? std::string(value) : path.substr(i, next - i);
    i = std::max(next, i + 1);
  }
  return expanded;
}

fs::path expanded(const std::string& path) {
  return expand_variables(expand_home(path));
}

fs::path hub_home() {
  if (auto home = variable("HF_HOME")) return expanded(*home);
  if (auto cache = variable("XDG_CACHE_HOME")) return expanded(*cache) / "huggingface";
  return expanded("~/.cache") / "huggingface";
}

std::string token_of(const fs::path& home) {
  if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return {};
  if (auto token = first_of({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})) {
    if (const auto text = hub::trim(*token); !text.empty()) return std::string(text);
  }
  const auto path = variable("HF_TOKEN_PATH");
  std::ifstream file(path ? expanded(*path) : home / "token", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return std::string(hub::trim(text));
}

std::uint64_t number_of(const char* name, std::uint64_t otherwise, std::uint64_t most) {
  const auto value = variable(name);
  if (!value) return otherwise;
  const auto number = hub::parse_number(hub::trim(*value));
  if (!number || *number > most) {
    throw Error(Errc::invalid_argument,
                std::string(name) + " is '" + *value + "': expected a whole number of at most " + std::to_string(most));
  }
  return *number == 0 ? otherwise : *number;
}

std::string endpoint_of() {
  std::string endpoint = variable("HF_ENDPOINT").value_or("https://huggingface.co");
  while (endpoint.ends_with('/')) endpoint.pop_back();
  if (!hub::origin_of(endpoint) || endpoint.find_first_of("?#@") != std::string::npos) {
    throw Error(Errc::invalid_argument, "HF_ENDPOINT is not an address such as https://huggingface.co");
  }
  return endpoint;
}

}  // namespace

HubOptions HubOptions::from_environment() {
  HubOptions options;
  const fs::path home = hub_home();
  const auto cache = first_of({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  options.home = home;
  options.endpoint = endpoint_of();
  options.cache_dir = cache ? expanded(*cache) : home / "hub";
  options.token = token_of(home);
  if (options.token.find_first_of(std::string("\r\n\0", 3)) != std::string::npos) {
    throw Error(Errc::invalid_argument, "HF_TOKEN (or the token file) holds more than one line");
  }
  options.offline = variable("HF_HUB_OFFLINE") ? is_true("HF_HUB_OFFLINE") : is_true("TRANSFORMERS_OFFLINE");
  options.symlinks = !is_true("HF_HUB_DISABLE_SYMLINKS");
  options.progress_bars = !is_true("HF_HUB_DISABLE_PROGRESS_BARS");
  constexpr std::uint64_t kDay = 24 * 60 * 60;
  options.etag_timeout = std::chrono::seconds(number_of("HF_HUB_ETAG_TIMEOUT", 10, kDay));
  options.download_timeout = std::chrono::seconds(number_of("HF_HUB_DOWNLOAD_TIMEOUT", 10, kDay));
  options.connections = number_of("HF_HUB_DOWNLOAD_CONNECTIONS", 0, 64);
  options.http_proxy = first_of({"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}).value_or("");
  options.https_proxy = first_of({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}).value_or("");
  options.no_proxy = first_of({"no_proxy", "NO_PROXY"}).value_or("");
  options.ca_file = variable("SSL_CERT_FILE").value_or("");
  options.ca_dir = variable("SSL_CERT_DIR").value_or("");
  return options;
}

}  // namespace stella
