// What callers ask for, and the checks on it before anything is touched.
#pragma once

#include "stella/hub.hpp"

#include <memory>
#include <string>

namespace stella::hub {

struct FileRequest {
  std::string repo;               ///< "org/name" or "name".
  std::string revision = "main";  ///< Branch, tag, pull request or 40-hex commit.
  std::string file;               ///< Path inside the repository, with '/'.
  std::shared_ptr<const HubOptions> options;
  /// The cached copy is not trusted: its hash is compared with what the hub says, and where they differ the file is
  /// fetched again and takes its place. Error(integrity) where that cannot be done.
  bool refetch = false;
};

/// The request with its endpoint's trailing slashes removed; throws Error(invalid_argument) for names, addresses and
/// headers that must not reach disk or network. `with_file`: request.file is needed.
FileRequest checked(FileRequest request, bool with_file);

/// Before the first question to the hub: throws Error(invalid_argument) where the environment keeps it from being
/// asked.
void check_reachable(const HubOptions& options);

/// "file of repo at revision", for messages.
std::string describe(const FileRequest& request);

}  // namespace stella::hub
