#include "server/routes/ollama.hpp"

#include "format/json_text.hpp"
#include "server/routes/common.hpp"
#include "server/routes/encodings.hpp"
#include "server/routes/fields.hpp"

#include <string_view>
#include <utility>

namespace stella::server {
namespace {

/// A name without a tag means ":latest", and clients may write it out.
std::string without_tag(std::string name) {
  constexpr std::string_view kTag = ":latest";
  if (name.ends_with(kTag)) name.resize(name.size() - kTag.size());
  return name;
}

OllamaRequest parse(const json::object& object, const ModelFacts& facts, const json::value& input,
                    std::string_view name) {
  OllamaRequest request;
  request.model = find_text(object, "model").value_or(facts.served_name);
  if (!names_model(facts, request.model)) check_model(facts, without_tag(request.model));
  request.options.on_long =
      find_bool(object, "truncate").value_or(facts.auto_truncate) ? OnLong::truncate : OnLong::error;
  if (const json::value* wanted = find_value(object, "dimensions"))
    request.options.dimensions = {dimension_of(*wanted, facts)};
  take_prompt(object, facts, request.options);
  const bool nothing =
      (input.is_string() && input.get_string().empty()) || (input.is_array() && input.get_array().empty());
  if (nothing) return request;
  request.inputs = parse_inputs(input, name);
  if (!request.inputs.ids.empty()) refuse_field(name, "a string or a list of strings");
  check_batch_size(facts, request.inputs.size());
  limit_characters(request.inputs, facts, request.options);
  return request;
}

}  // namespace

OllamaRequest parse_ollama_embed(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  return parse(object, facts, value_of(object, "input"), "input");
}

OllamaRequest parse_ollama_embeddings(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  const json::value& prompt = value_of(object, "prompt");
  if (!prompt.is_string()) refuse_field("prompt", "a string");
  return parse(object, facts, prompt, "prompt");
}

std::string ollama_embed_answer(const OllamaRequest& request, const Embedded& embedded,
                                std::chrono::nanoseconds total) {
  std::string out = "{\"model\":";
  format::append_json_string(out, request.model);
  out += ",\"embeddings\":[";
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    if (i != 0) out += ',';
    append_floats(out, embedded.vector(i));
  }
  return out + "],\"total_duration\":" + std::to_string(total.count()) +
         ",\"load_duration\":0,\"prompt_eval_count\":" + std::to_string(embedded.tokens()) + "}";
}

std::string ollama_embeddings_answer(const Embedded& embedded) {
  std::string out = "{\"embedding\":";
  append_floats(out, embedded.size() == 0 ? std::span<const float>() : embedded.vector(0));
  return out + "}";
}

}  // namespace stella::server
