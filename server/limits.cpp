#include "server/limits.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "stella/error.hpp"
#include "stella/pool.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <system_error>

namespace stella::server {
namespace {

constexpr std::size_t kBatch = 2048;

struct Entry {
  LimitName name;
  void (*set)(Options& options, std::size_t value);
};

constexpr std::array<Entry, 10> kEntries{{
    {{"max-concurrent-requests", "N", "Texts of all requests together; more are 429 (default 8192)"},
     [](Options& options, std::size_t value) { options.admission.texts = value; }},
    {{"max-concurrent-tokens", "N", "Their tokens, estimated from their bytes (default 1000000)"},
     [](Options& options, std::size_t value) { options.admission.tokens = value; }},
    {{"max-client-share", "PERCENT",
      "Of both, what one client may have under way beside its first request (default 75)"},
     [](Options& options, std::size_t value) {
       options.admission.share_of_client = static_cast<double>(std::min<std::size_t>(value, 100)) / 100;
     }},
    {{"max-client-batch-size", "N", "Texts of a batch (default 2048)"},
     [](Options& options, std::size_t value) { options.max_client_batch_size = value; }},
    {{"max-batch-split", "N", "Batches that a request may be split into; 1: a larger one is refused (default 64)"},
     [](Options& options, std::size_t value) { options.max_batch_split = value; }},
    {{"payload-limit", "BYTES", "Of a request's body (default 2000000)"},
     [](Options& options, std::size_t value) { options.limits.body_bytes = value; }},
    {{"max-request-memory", "MIB",
      "Memory of all requests together, estimated before it is taken; more are 429 (default 1024, or a fifth of what "
      "this process may have)"},
     [](Options& options, std::size_t value) { options.request_memory = value << 20U; }},
    {{"max-connections", "N", "Connections in all (default 4096)"},
     [](Options& options, std::size_t value) { options.limits.connections = value; }},
    {{"max-connections-per-address", "N", "Connections from one address (default 1024)"},
     [](Options& options, std::size_t value) { options.limits.connections_per_address = value; }},
    {{"request-timeout", "SECONDS", "That a request may take (default: no limit)"},
     [](Options& options, std::size_t value) { options.request_timeout = std::chrono::seconds(value); }},
}};

constexpr std::size_t kMost = std::size_t{1} << 40U;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(Errc::invalid_argument, what);
}

}  // namespace

const std::vector<LimitName>& limit_names() {
  static const std::vector<LimitName> names = [] {
    std::vector<LimitName> all;
    for (const Entry& entry : kEntries) all.push_back(entry.name);
    return all;
  }();
  return names;
}

void set_limit(Options& options, std::string_view name, std::size_t value) {
  const auto* const found =
      std::find_if(kEntries.begin(), kEntries.end(), [name](const Entry& entry) { return entry.name.name == name; });
  if (found == kEntries.end()) {
    std::string known;
    for (const Entry& entry : kEntries) known += (known.empty() ? "" : ", ") + std::string(entry.name.name);
    refuse("there is no limit '" + std::string(name) + "'; choose one of: " + known);
  }
  if (value == 0 || value > kMost)
    refuse(std::string(name) + " must be a whole number above 0, and not " + std::to_string(value));
  found->set(options, value);
}

void read_limits(Options& options, std::string_view text, const std::string& file) {
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.starts_with('#')) continue;
    const std::string place = "--limits-file '" + file + "', line " + std::to_string(number) + ": ";
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) refuse(place + "write `name = value`");
    const std::string_view digits = trim(line.substr(equals + 1));
    std::size_t value = 0;
    const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || rest != digits.data() + digits.size())
      refuse(place + "the value must be a whole number");
    try {
      set_limit(options, trim(line.substr(0, equals)), value);
    } catch (const Error& wrong) {
      refuse(place + wrong.what());
    }
  }
}

std::size_t default_request_memory(std::uint64_t usable) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 30U;
  return static_cast<std::size_t>(std::min(usable / 4, kMost));
}

std::string remark_on_request_memory(std::size_t bytes, std::uint64_t usable) {
  if (bytes <= usable) return {};
  const auto mebibytes = [](std::uint64_t value) { return std::to_string(value >> 20U); };
  return "--max-request-memory " + mebibytes(bytes) + " is more than the " + mebibytes(usable) +
         " MiB that this process can count on (80 % of the machine's memory, its group's or its own limit), and what "
         "comes on top of it fails with 503; give " +
         mebibytes(default_request_memory(usable)) + " or raise that limit";
}

Options completed(Options options) {
  const std::uint64_t usable = ModelPool::default_memory_limit();
  if (options.request_memory == 0) options.request_memory = default_request_memory(usable);
  const std::string remark = remark_on_request_memory(options.request_memory, usable);
  if (!remark.empty()) log(LogLevel::warning, remark);
  const std::size_t texts = options.admission.texts;
  if (options.max_client_batch_size == 0) options.max_client_batch_size = std::min(kBatch, texts);
  if (options.max_client_batch_size > texts)
    refuse("--max-client-batch-size " + std::to_string(options.max_client_batch_size) +
           " is more than --max-concurrent-requests " + std::to_string(texts) +
           ", which counts texts; such a batch would never be let in");
  if (options.default_prompt && options.default_prompt_name)
    refuse("both --default-prompt and --default-prompt-name; give one of them");
  for (const std::string& key : options.api_keys) {
    if (key.empty()) refuse("an empty API key; give one that is not, or none");
  }
  if (options.tls_certificate.has_value() != options.tls_key.has_value())
    refuse("--tls-cert and --tls-key belong together; give both or none");
  if (options.tls_certificate && options.unix_socket)
    refuse("--unix-socket has no TLS; leave --tls-cert and --tls-key out");
  return options;
}

}  // namespace stella::server
