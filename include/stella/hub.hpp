// The model hub: where files come from and where they are kept.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>

namespace stella {

/// How to reach the hub and where its cache lies. Names and defaults are those of Python's huggingface_hub, so that
/// both share one cache. A value; fill it by hand or with from_environment().
struct HubOptions {
  std::string endpoint = "https://huggingface.co";     ///< HF_ENDPOINT, without a trailing slash.
  std::filesystem::path home{};                        ///< HF_HOME; packed weights lie in its folder "stella".
  std::filesystem::path cache_dir{};                   ///< HF_HUB_CACHE; models--org--name folders lie in it.
  std::string token{};                                 ///< HF_TOKEN or the token file; empty: anonymous.
  bool offline = false;                                ///< HF_HUB_OFFLINE: never open a connection.
  bool symlinks = true;                                ///< HF_HUB_DISABLE_SYMLINKS off.
  bool progress_bars = true;                           ///< HF_HUB_DISABLE_PROGRESS_BARS off; a hint to programs.
  std::chrono::milliseconds etag_timeout{10'000};      ///< HF_HUB_ETAG_TIMEOUT: a metadata request, whole.
  std::chrono::milliseconds download_timeout{10'000};  ///< HF_HUB_DOWNLOAD_TIMEOUT: silence on a transfer.
  std::size_t connections = 0;  ///< HF_HUB_DOWNLOAD_CONNECTIONS: most parallel ranges over all files; 0: the default.
  std::string user_agent{};     ///< Appended to the library's own.
  std::string http_proxy{};     ///< HTTP_PROXY, else ALL_PROXY; empty: none. The lower-case names win over these.
  std::string https_proxy{};    ///< HTTPS_PROXY, else ALL_PROXY; empty: none.
  std::string no_proxy{};       ///< NO_PROXY: hosts reached without a proxy, separated by commas.
  std::filesystem::path ca_file{};  ///< SSL_CERT_FILE; empty: the system's certificate authorities.
  std::filesystem::path ca_dir{};   ///< SSL_CERT_DIR; either replaces the system's.
  /// What from_environment() found and cannot use, naming the variable and what it should be: the first request that
  /// needs the hub fails with it (Error(invalid_argument)). What is local, or cached and asked for offline, does not.
  std::string problem{};

  /// Reads the variables that the hub's documentation names (docs/hub.md), now and only now. A value that cannot be
  /// used counts as unset, and is told in `problem`.
  static HubOptions from_environment();
};

}  // namespace stella
