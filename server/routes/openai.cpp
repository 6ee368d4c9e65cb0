#include "server/routes/openai.hpp"

#include "format/json_text.hpp"
#include "server/routes/common.hpp"
#include "server/routes/errors.hpp"
#include "server/routes/fields.hpp"

#include <utility>

namespace stella::server {
namespace {

constexpr std::size_t kMaxInputs = 2048;
constexpr std::size_t kMaxIds = 300'000;

Inputs parse_input(const json::object& object) {
  Inputs inputs = parse_inputs(value_of(object, "input"), "input");
  if (!inputs.texts.empty() && !inputs.ids.empty()) refuse_field("input", "texts or lists of token ids, not both");
  if (inputs.size() > kMaxInputs) refuse_field("input", "a list of at most 2048");
  std::size_t ids = 0;
  for (const TokenIds& list : inputs.ids) {
    if (list.size() > kMaxInputs) refuse_field("input", "lists of at most 2048 token ids");
    ids += list.size();
  }
  if (ids > kMaxIds) refuse_field("input", "of at most 300,000 tokens in all");
  return inputs;
}

}  // namespace

OpenAiRequest parse_openai(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  check_model(facts, find_text(object, "model").value_or(""));
  OpenAiRequest request;
  request.inputs = parse_input(object);
  check_batch_size(facts, request.inputs.size());
  if (const auto encoding = find_text(object, "encoding_format")) request.encoding = parse_encoding(*encoding);
  if (const json::value* wanted = find_value(object, "dimensions"))
    request.options.dimensions = {dimension_of(*wanted, facts)};
  take_prompt(object, facts, request.options);
  check_ids(request.inputs, facts, true);
  request.options.on_long = facts.auto_truncate ? OnLong::truncate : OnLong::error;
  limit_characters(request.inputs, facts, request.options);
  return request;
}

std::string openai_answer(const Embedded& embedded, Encoding encoding, const ModelFacts& facts) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    out += i == 0 ? "{\"object\":\"embedding\"," : ",{\"object\":\"embedding\",";
    append_embedding(out, embedded.vector(i), encoding);
    out += ",\"index\":" + std::to_string(i) + "}";
  }
  out += "],\"model\":";
  format::append_json_string(out, facts.served_name);
  const std::string tokens = std::to_string(embedded.tokens());
  return out + ",\"usage\":{\"prompt_tokens\":" + tokens + ",\"total_tokens\":" + tokens + "}}";
}

std::string openai_model(const ServedModel& model, std::int64_t created) {
  std::string out = "{\"id\":";
  format::append_json_string(out, model.name);
  out += ",\"object\":\"model\",\"created\":" + std::to_string(created) + ",\"owned_by\":";
  format::append_json_string(out, model.provider);
  return out + "}";
}

std::string openai_models(const std::vector<ServedModel>& models, std::int64_t created) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (const ServedModel& model : models) {
    if (&model != models.data()) out += ',';
    out += openai_model(model, created);
  }
  return out + "]}";
}

}  // namespace stella::server
