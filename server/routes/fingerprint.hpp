// Which vectors may be compared with which.
#pragma once

#include "server/routes/facts.hpp"

#include <filesystem>
#include <string>

namespace stella::server {

/// What the weights are: "org/model@0123456789ab" of a commit, where the model comes from the hub, else
/// "sha256:0123456789abcdef" of the names, sizes and samples of the files in `directory`, so that a copy elsewhere is
/// the same. Reads some hundred KiB. Throws Error(io_error).
std::string weights_of(const std::string& id, const std::string& commit, const std::filesystem::path& directory);

/// "weights=org/model@0123456789ab; dimension=1024; precision=int16; prompt=s2p; normalized=true". Vectors of equal
/// fingerprints may be compared; ASCII, fit for a header.
std::string fingerprint_of(const ModelFacts& facts, const EmbedOptions& options);

/// Of what /embed gives where a request asks for nothing.
std::string default_fingerprint(const ModelFacts& facts);

}  // namespace stella::server
