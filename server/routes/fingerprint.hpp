// Which vectors may be compared with which.
#pragma once

#include "server/routes/facts.hpp"

#include <string>

namespace stella::server {

/// "weights=org/model@0123456789ab; dimension=1024; precision=int16; prompt=s2p; normalized=true". Vectors of equal
/// fingerprints may be compared; ASCII, fit for a header.
std::string fingerprint_of(const ModelFacts& facts, const EmbedOptions& options);

/// Of what /embed gives where a request asks for nothing.
std::string default_fingerprint(const ModelFacts& facts);

}  // namespace stella::server
