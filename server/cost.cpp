#include "server/cost.hpp"

#include <algorithm>
#include <numeric>

namespace stella::server {
namespace {

constexpr std::size_t kBytesOfToken = 4;
/// Two of them fit into one of the passes that overtake bulk work (512 tokens).
constexpr std::size_t kInteractiveTokens = 256;
constexpr std::size_t kInteractiveTexts = 16;

// Measured with the worst bodies of each kind, and held by tests/server/test_limits.py: a JSON value with the builder's
// stack, which doubles; a key with the set that looks for its like; a text, which is there as JSON, as input, and in
// the engine.
constexpr std::size_t kBytesOfValue = 96;
constexpr std::size_t kBytesOfKey = 320;
constexpr std::size_t kCopiesOfText = 3;

/// What the engine and the answer keep of a text beside its vectors.
constexpr std::size_t kBytesOfInput = 512;
/// A value as float32, as decimal, and what a growing text leaves behind.
constexpr std::size_t kBytesOfFloat = 4 + 2 * 13;

std::size_t template_tokens(const ModelFacts& facts, const EmbedOptions& options) {
  return facts.before.size() + facts.behind.size() + options.prompt.value_or("").size() / kBytesOfToken;
}

}  // namespace

Cost cost_of(const Inputs& inputs, const ModelFacts& facts, const EmbedOptions& options) {
  Cost cost{inputs.size(), 0};
  const std::size_t added = template_tokens(facts, options);
  for (const std::string& text : inputs.texts)
    cost.tokens +=
        std::min(text.size() / kBytesOfToken + 1 + added, std::max<std::size_t>(facts.max_input_length(), 1));
  for (const TokenIds& ids : inputs.ids)
    cost.tokens += std::min(ids.size(), std::max<std::size_t>(facts.max_input_length(), 1));
  return cost;
}

Priority priority_of(const Cost& cost) noexcept {
  const bool is_short = cost.tokens <= kInteractiveTokens && cost.texts <= kInteractiveTexts;
  return is_short ? Priority::interactive : Priority::bulk;
}

std::size_t parse_bytes(std::string_view body) noexcept {
  std::size_t values = 1;
  std::size_t keys = 0;
  for (const char c : body) {
    values += c == ',' || c == '[' || c == '{' ? 1U : 0U;
    keys += c == ':' ? 1U : 0U;
  }
  return kCopiesOfText * body.size() + kBytesOfValue * values + kBytesOfKey * keys;
}

std::size_t answer_bytes(const Inputs& inputs, const ModelFacts& facts, const EmbedOptions& options) {
  std::size_t bytes = kBytesOfInput * inputs.size();
  std::size_t tokens = 0;
  for (const std::string& text : inputs.texts) {
    bytes += kCopiesOfText * text.size();
    tokens += std::min(text.size() + options.prompt.value_or("").size() + 2, facts.max_input_length());
  }
  for (const TokenIds& ids : inputs.ids) {
    bytes += kCopiesOfText * sizeof(std::int32_t) * ids.size();
    tokens += std::min(ids.size(), facts.max_input_length());
  }
  std::size_t floats = options.token_states ? tokens * facts.description.hidden : 0;
  if (options.pooled) {
    const std::size_t one = options.dimensions.empty()
                                ? facts.description.default_dimension
                                : std::accumulate(options.dimensions.begin(), options.dimensions.end(), std::size_t{0});
    floats += one * inputs.size();
  }
  return bytes + kBytesOfFloat * floats;
}

}  // namespace stella::server
