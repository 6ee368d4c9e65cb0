#include "format/json_text.hpp"
#include "server/routes/fingerprint.hpp"
#include "server/routes/tei.hpp"

#include <algorithm>
#include <optional>
#include <string>

namespace stella::server {
namespace {

/// Tokens that the engine packs into a pass; a longer text is a pass of its own.
constexpr std::size_t kTokensOfPass = 2048;

const char* type_name(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return "bfloat16";
    case Precision::int16:
      return "int16";
    case Precision::int8:
      return "int8";
    default:
      return "float32";
  }
}

}  // namespace

std::string info_answer(const ModelFacts& facts, const std::string& version, std::size_t workers) {
  const ModelDescription& description = facts.description;
  const auto commit = description.commit.empty() ? std::nullopt : std::optional(description.commit);
  format::JsonText json;
  json.begin_object().member("model_id", facts.id).member("model_sha", commit);
  json.key("model_dtype").value(type_name(description.precision.value_or(Precision::f32)));
  json.member("served_model_name", facts.served_name);
  json.key("model_type").raw(R"({"embedding":{"pooling":"mean"}})");
  json.member("max_concurrent_requests", facts.max_concurrent_requests);
  json.member("max_input_length", facts.max_input_length());
  json.member("max_batch_tokens", std::max(kTokensOfPass, facts.max_input_length()));
  json.key("max_batch_requests").raw("null");
  json.member("max_client_batch_size", facts.max_client_batch_size);
  json.member("auto_truncate", facts.auto_truncate).member("tokenization_workers", workers);
  json.member("version", version).key("sha").raw("null").key("docker_label").raw("null");
  json.member("dimensions", description.dimensions).member("default_dimension", description.default_dimension);
  json.member("embedding_fingerprint", default_fingerprint(facts));
  json.key("prompts").begin_object();
  for (const auto& [task, prompt] : description.prompts) json.member(task, prompt);
  return json.end_object().end_object().take();
}

}  // namespace stella::server
