#include "server/routes/fingerprint.hpp"

#include "base/sha.hpp"
#include "stella/options.hpp"

#include <algorithm>

namespace stella::server {
namespace {

constexpr std::size_t kHashDigits = 16;

bool is_plain(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

std::string hash_of(const std::string& text) {
  return "sha256:" + sha256_hex(text).substr(0, kHashDigits);
}

/// The task that has this prompt, "none" for none.
std::string prompt_name(const ModelFacts& facts, const std::string& prompt) {
  if (prompt.empty()) return "none";
  const auto& prompts = facts.description.prompts;
  for (const char* task : {"s2p", "s2s"}) {  // Stella's own names before others that mean the same
    const auto found = prompts.find(task);
    if (found != prompts.end() && found->second == prompt) return task;
  }
  for (const auto& [task, text] : prompts) {
    if (text == prompt && is_plain(task)) return task;
  }
  return hash_of(prompt);
}

}  // namespace

std::string fingerprint_of(const ModelFacts& facts, const EmbedOptions& options) {
  std::string dimensions;
  for (const std::size_t dimension : options.dimensions)
    dimensions += (dimensions.empty() ? "" : ",") + std::to_string(dimension);
  if (options.token_states) dimensions = "tokens";
  if (dimensions.empty()) dimensions = std::to_string(facts.description.default_dimension);
  const bool unit = options.normalize && !options.token_states;
  return "weights=" + facts.weights + "; dimension=" + dimensions +
         "; precision=" + to_string(facts.description.precision.value_or(Precision::f32)) +
         "; prompt=" + prompt_name(facts, options.prompt.value_or("")) + "; normalized=" + (unit ? "true" : "false");
}

std::string default_fingerprint(const ModelFacts& facts) {
  EmbedOptions options;
  choose_prompt(facts, std::nullopt, options);
  return fingerprint_of(facts, options);
}

}  // namespace stella::server
