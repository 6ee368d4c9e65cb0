// What `stella serve` is told.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace stella::server {

/// Limits of connections, fit for strangers.
struct Limits {
  std::size_t header_bytes = std::size_t{64} << 10U;
  std::size_t body_bytes = 2'000'000;  ///< --payload-limit
  std::size_t connections = 4096;
  std::size_t connections_per_address = 1024;
  std::chrono::milliseconds idle{75'000};    ///< Between two requests.
  std::chrono::milliseconds header{45'000};  ///< For a header, from its first byte.
  std::chrono::milliseconds body{75'000};    ///< For a body, from the end of the header.
  std::chrono::milliseconds write{30'000};   ///< For each 256 KiB of an answer.
  std::chrono::milliseconds linger{30'000};  ///< For a client that still sends what was refused.
};

/// Of what is under way at the same time.
struct AdmissionLimits {
  std::size_t texts = 8192;
  std::size_t tokens = 1'000'000;
  /// Of all of that, what one client may have under way beside the first of its requests.
  double share_of_client = 0.75;
};

struct Options {
  std::string host = "127.0.0.1";  ///< An address.
  std::uint16_t port = 3000;       ///< 0: the system chooses.
  /// In place of host and port.
  std::optional<std::string> unix_socket{};
  unsigned unix_socket_mode = 0600;
  std::optional<std::string> tls_certificate{};  ///< PEM file: the server's certificate, then those that vouch for it.
  std::optional<std::string> tls_key{};          ///< PEM file.
  std::vector<std::string> api_keys{};
  std::vector<std::string> models{};          ///< Ids or directories, at least one; the first is the default model.
  std::vector<std::string> allowed_models{};  ///< More of them, loaded when a request first names them.
  /// By id, of models other than the default one; else main.
  std::map<std::string, std::string> revisions{};
  std::vector<std::string> served_names{};   ///< What clients call `models`, in that order; else their ids.
  std::uint64_t memory_limit = 0;            ///< Of weights; 0: ModelPool::default_memory_limit().
  std::chrono::milliseconds idle_unload{0};  ///< Models that nobody has asked for so long go; 0: they stay.
  AdmissionLimits admission{};
  std::size_t max_client_batch_size = 0;  ///< 0: 2048, or as many texts as may be under way.
  std::size_t max_batch_split = 64;       ///< Batches that a request may be split into.
  std::size_t request_memory = 0;         ///< Bytes; 0: default_request_memory().
  std::vector<std::string> cors_origins{};
  bool auto_truncate = true;
  bool any_token_ids = false;
  std::optional<std::string> default_prompt_name{};
  std::optional<std::string> default_prompt{};
  std::optional<std::chrono::milliseconds> request_timeout{};
  std::chrono::milliseconds drain_timeout{30'000};
  std::string version{};
  bool access_log = false;                     ///< A line for each request, to standard error.
  bool json_output = false;                    ///< Logs as JSON.
  std::optional<std::string> otlp_endpoint{};  ///< Where spans go; none: nowhere.
  std::string otlp_service_name = "stella";
  Limits limits{};
};

}  // namespace stella::server
