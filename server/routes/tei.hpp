// The shapes of text-embeddings-inference.
#pragma once

#include "base/json.hpp"
#include "server/routes/embedded.hpp"
#include "server/routes/facts.hpp"
#include "server/routes/inputs.hpp"

#include <string>
#include <vector>

namespace stella::server {

/// /embed, /embed_all, and what /similarity makes of its sentences.
struct TeiRequest {
  Inputs inputs{};
  EmbedOptions options{};
  bool dimensions_listed = false;  ///< The answer is an object, a list of vectors for each dimension.
  bool report = false;             ///< The answer says what became of each text.
};

// All parse_ functions throw ApiError.
TeiRequest parse_embed(const json::value& body, const ModelFacts& facts);
TeiRequest parse_embed_all(const json::value& body, const ModelFacts& facts);
/// The source is the first input.
TeiRequest parse_similarity(const json::value& body, const ModelFacts& facts);
/// The instances; each is answered by itself.
std::vector<TeiRequest> parse_vertex(const json::value& body, const ModelFacts& facts);
/// Whether what was posted to `/` wants similarities.
bool is_similarity(const json::value& body);

std::string embed_answer(const TeiRequest& request, const Embedded& embedded);
std::string embed_all_answer(const Embedded& embedded);
std::string similarity_answer(const Embedded& embedded);

struct TokenizeBody {
  Inputs inputs{};
  TokenizeOptions options{};
};
TokenizeBody parse_tokenize(const json::value& body, const ModelFacts& facts);
/// What `/tokenize` needs of one token.
struct TokenText {
  std::int32_t id = 0;
  std::string text{};
  bool special = false;
  std::optional<TokenOffsets> offsets{};
};
std::string tokenize_answer(const std::vector<std::vector<TokenText>>& texts);

DecodeRequest parse_decode(const json::value& body, const ModelFacts& facts);
std::string decode_answer(const std::vector<std::string>& texts);

/// `version`: the program's.
std::string info_answer(const ModelFacts& facts, const std::string& version, std::size_t workers);

}  // namespace stella::server
