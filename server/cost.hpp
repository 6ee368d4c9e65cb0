// What a request will take, told from its bytes before anything is tokenized.
#pragma once

#include "server/routes/facts.hpp"
#include "server/routes/inputs.hpp"

#include <cstddef>

namespace stella::server {

struct Cost {
  std::size_t texts = 0;
  std::size_t tokens = 0;
};

/// Four bytes a token, prompt and template included, and at most as many tokens of a text as it will be cut to.
Cost cost_of(const Inputs& inputs, const ModelFacts& facts, const EmbedOptions& options);

/// Interactive where it fits beside others into one of the passes that may overtake bulk work, else bulk. Said
/// explicitly: the engine's own choice goes by the bytes alone.
Priority priority_of(const Cost& cost) noexcept;

/// Bytes that parsing a body takes at the most, the body itself not included: from the characters that begin a value.
std::size_t parse_bytes(std::string_view body) noexcept;

/// Bytes that computing and answering take at the most, inputs included.
std::size_t answer_bytes(const Inputs& inputs, const ModelFacts& facts, const EmbedOptions& options);

}  // namespace stella::server
