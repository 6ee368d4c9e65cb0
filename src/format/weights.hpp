// What weights are called where vectors say what made them: the server's fingerprints, the manifests of `embed
// --parts`.
#pragma once

#include <filesystem>
#include <string>

namespace stella::format {

/// What the weights are: "org/model@0123456789ab" of a commit, where the model comes from the hub, else
/// "sha256:0123456789abcdef" of the names, sizes and samples of the files in `directory`, so that a copy elsewhere is
/// the same. Reads some hundred KiB. Throws Error(io_error).
std::string weights_of(const std::string& id, const std::string& commit, const std::filesystem::path& directory);

}  // namespace stella::format
