// Checks on what callers ask for, before anything is touched.
#pragma once

#include "hub/client.hpp"

namespace stella::hub {

/// The request with its endpoint's trailing slashes removed; throws Error(invalid_argument) for names, addresses and
/// headers that must not reach disk or network. `with_file`: request.file is needed.
FileRequest checked(FileRequest request, bool with_file);

/// Before the first question to the hub: throws Error(invalid_argument) where the environment keeps it from being
/// asked.
void check_reachable(const HubOptions& options);

/// "file of repo at revision", for messages.
std::string describe(const FileRequest& request);

}  // namespace stella::hub
