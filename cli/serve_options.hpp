// The flags of `stella serve`, and what they make of the server.
#pragma once

#include "cli/options.hpp"
#include "server/options.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella::cli {

struct ServeOptions {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  std::vector<std::string> models{};
  std::vector<std::string> allowed_models{};
  std::vector<std::string> served_model_names{};
  std::optional<std::string> dtype{};
  std::optional<std::size_t> memory_limit_mb{};
  std::optional<std::size_t> idle_unload{};
  std::string host = "127.0.0.1";
  std::string port = "3000";
  std::optional<std::string> unix_socket{};
  std::string unix_socket_mode = "600";
  std::optional<std::string> tls_cert{};
  std::optional<std::string> tls_key{};
  std::vector<std::string> api_keys{};
  std::optional<std::string> api_key_file{};
  std::optional<std::string> default_prompt_name{};
  std::optional<std::string> default_prompt{};
  std::string auto_truncate = "true";
  std::string token_ids = "checked";
  std::vector<std::string> cors_origins{};
  std::vector<std::optional<std::size_t>> limits{};  ///< As server::limit_names() has them.
  std::optional<std::string> limits_file{};
  std::vector<std::optional<std::size_t>> ignored{};
  std::optional<std::size_t> drain_timeout{};
  bool access_log = false;
  bool json_output = false;
  std::optional<std::string> otlp_endpoint{};
  std::string otlp_service_name = "stella";

  /// Throws Failure; reads the files that they name.
  server::Options server_options() const;
  /// Puts the default model, and what concerns all of them, into `common`. Throws Failure.
  void complete_common() const;
};

void add_serve_options(CLI::App& app, ServeOptions& options);

}  // namespace stella::cli
