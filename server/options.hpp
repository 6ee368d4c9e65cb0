// What `stella serve` is told.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
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

struct Options {
  std::string host = "127.0.0.1";  ///< An address.
  std::uint16_t port = 3000;       ///< 0: the system chooses.
  std::vector<std::string> api_keys{};
  std::string model_id{};
  std::optional<std::string> served_model_name{};
  std::size_t max_concurrent_requests = 8192;  ///< Texts, of all requests together.
  std::size_t max_client_batch_size = 2048;
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
