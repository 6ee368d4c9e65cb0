// HubOptions::from_environment(): the variables of huggingface_hub, read as it reads them.
#include "base/ascii.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "hub/http/proxy.hpp"
#include "hub/http/url.hpp"
#include "stella/error.hpp"
#include "stella/hub.hpp"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <pwd.h>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
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
  const std::string value = to_lower(variable(name).value_or(""));
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

/// Empty where nothing says which folder that is.
fs::path hub_home() {
  if (auto home = variable("HF_HOME")) return expanded(*home);
  if (auto cache = variable("XDG_CACHE_HOME")) return expanded(*cache) / "huggingface";
  const fs::path cache = expanded("~/.cache");
  return cache.is_absolute() ? cache / "huggingface" : fs::path();
}

/// Reads what may hold anything. A value that cannot be used counts as unset, and is a problem for whoever needs it.
class Reader {
 public:
  const std::string& problem() const noexcept { return problem_; }
  void found(const std::string& problem) { problem_ += (problem_.empty() ? "" : "; ") + problem; }

  std::string token(const fs::path& home);
  std::uint64_t number(const char* name, std::uint64_t otherwise, std::uint64_t most);
  std::string endpoint();
  std::string proxy(const char* lower, const char* upper);

 private:
  std::string token_file(const fs::path& path);

  std::string problem_;
};

std::string Reader::token_file(const fs::path& path) {
  constexpr std::uint64_t kMaxTokenBytes = 16384;
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  try {
    return read_text_file(path, kMaxTokenBytes);
  } catch (const Error& failure) {
    found(std::string("the token file cannot be used (") + failure.what() +
          "); set HF_TOKEN or HF_TOKEN_PATH, or remove it");
    return {};
  }
}

std::string Reader::token(const fs::path& home) {
  if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return {};
  const auto path = variable("HF_TOKEN_PATH");
  std::string source = "HF_TOKEN";
  std::string token(trim(first_of({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}).value_or("")));
  if (token.empty() && (path || !home.empty())) {
    const fs::path file = path ? expanded(*path) : home / "token";
    source = "the token file " + file.string();
    token = trim(token_file(file));
  }
  const bool one_line = std::none_of(token.begin(), token.end(),
                                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (one_line) return token;
  found(source + " holds more than one line, or control characters: expected a token such as hf_…");
  return {};
}

std::uint64_t Reader::number(const char* name, std::uint64_t otherwise, std::uint64_t most) {
  const auto value = variable(name);
  if (!value) return otherwise;
  const auto number = parse_number(trim(*value));
  if (number && *number <= most) return *number == 0 ? otherwise : *number;
  found(std::string(name) + " is '" + printable_line(*value, 80) + "': expected a whole number of at most " +
        std::to_string(most));
  return otherwise;
}

std::string Reader::endpoint() {
  const std::string standard = HubOptions{}.endpoint;
  std::string endpoint(trim(variable("HF_ENDPOINT").value_or("")));
  while (endpoint.ends_with('/')) endpoint.pop_back();
  if (endpoint.empty()) return standard;
  for (std::size_t space = 0; (space = endpoint.find(' ', space)) != std::string::npos;)
    endpoint.replace(space, 1, "%20");
  if (endpoint.find_first_of("?#@") != std::string::npos) {
    found("HF_ENDPOINT may hold neither user, password, query nor fragment: expected an address such as " + standard);
    return standard;
  }
  if (hub::origin_of(endpoint)) return endpoint;
  const bool bare = endpoint.find("://") == std::string::npos && hub::origin_of("https://" + endpoint);
  found("HF_ENDPOINT is '" + printable_line(endpoint, 200) + "', which is no address: expected " +
        (bare ? "its scheme too, as in https://" + endpoint : "one such as " + standard));
  return standard;
}

/// A lower-case variable that is set, though it be empty, goes before the upper-case one: so Python reads them.
std::string proxy_variable(const char* lower, const char* upper) {
  if (const char* value = std::getenv(lower)) return value;
  // Of a CGI program the upper-case one is a header of the request's.
  if (std::string_view(upper) == "HTTP_PROXY" && std::getenv("REQUEST_METHOD") != nullptr) return {};
  return variable(upper).value_or("");
}

std::string Reader::proxy(const char* lower, const char* upper) {
  for (const auto& [name, other] : {std::pair(lower, upper), std::pair("all_proxy", "ALL_PROXY")}) {
    const std::string value(trim(proxy_variable(name, other)));
    if (value.empty()) continue;
    if (hub::is_proxy(value)) return value;
    // Not shown: it may hold a password.
    found(std::string(std::getenv(name) != nullptr ? name : other) +
          " is no address of a proxy: expected one such as http://host:3128");
    return {};
  }
  return {};
}

}  // namespace

HubOptions HubOptions::from_environment() {
  HubOptions options;
  Reader reader;
  const fs::path home = hub_home();
  const auto cache = first_of({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  options.home = home;
  options.endpoint = reader.endpoint();
  options.cache_dir = cache ? expanded(*cache) : home.empty() ? home : home / "hub";
  if (options.cache_dir.empty()) reader.found("there is no home folder for the hub's cache; set HF_HOME");
  options.token = reader.token(home);
  options.offline = variable("HF_HUB_OFFLINE") ? is_true("HF_HUB_OFFLINE") : is_true("TRANSFORMERS_OFFLINE");
  options.symlinks = !is_true("HF_HUB_DISABLE_SYMLINKS");
  options.progress_bars = !is_true("HF_HUB_DISABLE_PROGRESS_BARS");
  constexpr std::uint64_t kDay = 24 * 60 * 60;
  options.etag_timeout = std::chrono::seconds(reader.number("HF_HUB_ETAG_TIMEOUT", 10, kDay));
  options.download_timeout = std::chrono::seconds(reader.number("HF_HUB_DOWNLOAD_TIMEOUT", 10, kDay));
  options.connections = reader.number("HF_HUB_DOWNLOAD_CONNECTIONS", 0, 64);
  options.http_proxy = reader.proxy("http_proxy", "HTTP_PROXY");
  options.https_proxy = reader.proxy("https_proxy", "HTTPS_PROXY");
  options.no_proxy = proxy_variable("no_proxy", "NO_PROXY");
  options.ca_file = variable("SSL_CERT_FILE").value_or("");
  options.ca_dir = variable("SSL_CERT_DIR").value_or("");
  std::error_code error;
  if (!options.ca_file.empty() && fs::exists(options.ca_file, error) && !fs::is_regular_file(options.ca_file, error)) {
    reader.found("SSL_CERT_FILE is " + options.ca_file.string() + ", which is no file of certificates");
    options.ca_file.clear();
  }
  options.problem = reader.problem();
  return options;
}

}  // namespace stella
