// Reading a tokenizer.json into the parts that a Tokenizer is made of.
#pragma once

#include "stella/error.hpp"
#include "stella/options.hpp"
#include "tokenizer/added_tokens.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/decoder.hpp"
#include "tokenizer/normalizer.hpp"
#include "tokenizer/splitter.hpp"
#include "tokenizer/trim_offsets.hpp"
#include "tokenizer/vocabulary.hpp"
#include "tokenizer/wordpiece.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace stella::tokenizer {

/// Ids that the post-processor puts around a single text.
struct Template {
  std::vector<std::int32_t> before;
  std::vector<std::int32_t> after;
};

struct TokenizerParts {
  Vocabulary vocabulary;  // the model's; model may point to it, so parts are filled in place and never moved
  std::vector<AddedToken> added_tokens;  // as written: contents not normalized, ids not assigned
  std::vector<Normalizer> normalizers;   // in order
  std::vector<Splitter> splitters;       // in order
  std::variant<std::monostate, Bpe, WordPiece> model;
  Template around;
  std::vector<TrimOffsets> trims;                // in order
  std::optional<std::vector<Decoder>> decoders;  // in order; absent: the file has none
  std::optional<Error> decoder_error;            // why decoding is not possible
  TruncationSide truncation_side = TruncationSide::right;
};

/// Throws Error(limit_exceeded) where an added token, or all up to it, are too large.
void check_added_token(std::size_t bytes, std::size_t bytes_of_all, const std::string& source);

/// Fills empty `parts`. Errors as Tokenizer::from_json.
void read_tokenizer_json(std::string_view json, const std::string& source, TokenizerParts& parts);

/// Makes what simdjson keeps until the program ends.
void prepare_json();

}  // namespace stella::tokenizer
