// What a model adds to a request before it is computed.
#pragma once

#include "models/encoder.hpp"
#include "stella/request.hpp"
#include "tokenizer/tokenizer.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella::engine {

/// A head to apply, or the pooled vector itself where `head` is null.
struct HeadUse {
  std::size_t dimension = 0;
  std::shared_ptr<const models::DenseHead> head;
};

/// The parts of a model that one request uses, and what the checkpoint decides where the request does not. The request
/// keeps the parts: they stay in memory until it is over, whatever becomes of the model.
struct Resolved {
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;  // null for token ids
  std::shared_ptr<const models::Encoder> encoder;         // null: tokenize only
  std::vector<HeadUse> heads;                             // (dimensions); empty without pooled vectors
  std::string prompt;
  std::size_t max_length = 0;                       // tokens, prompt and special tokens included
  std::optional<TruncationSide> truncation_side{};  // absent: as the tokenizer's file says
  bool normalize = true;
  std::size_t vocab_size = 0;  // of the encoder; a text with a token beyond it is refused
};

}  // namespace stella::engine
