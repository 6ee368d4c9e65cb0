#include "server/routes/tei.hpp"

#include "format/json_text.hpp"
#include "server/routes/common.hpp"
#include "server/routes/encodings.hpp"
#include "server/routes/errors.hpp"
#include "server/routes/fields.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace stella::server {
namespace {

/// truncate, truncation_direction, prompt_name or task.
void parse_common(const json::object& object, const ModelFacts& facts, EmbedOptions& options) {
  const bool truncate = find_bool(object, "truncate").value_or(facts.auto_truncate);
  options.on_long = truncate ? OnLong::truncate : OnLong::error;
  if (const auto direction = find_text(object, "truncation_direction")) {
    const bool left = *direction == "Left" || *direction == "left";
    if (!left && *direction != "Right" && *direction != "right") refuse_field("truncation_direction", "Left or Right");
    options.truncation_side = left ? TruncationSide::left : TruncationSide::right;
  }
  take_prompt(object, facts, options);
}

void take_inputs(TeiRequest& request, const json::object& object, const ModelFacts& facts) {
  request.inputs = parse_inputs(value_of(object, "inputs"), "inputs");
  check_batch_size(facts, request.inputs.size());
  check_ids(request.inputs, facts, false);
  limit_characters(request.inputs, facts, request.options);
}

void parse_dimensions(TeiRequest& request, const json::object& object, const ModelFacts& facts) {
  const json::value* wanted = find_value(object, "dimensions");
  if (wanted == nullptr) return;
  std::vector<std::size_t>& dimensions = request.options.dimensions;
  const auto add = [&](const json::value& value) {
    const std::size_t dimension = dimension_of(value, facts);
    if (std::find(dimensions.begin(), dimensions.end(), dimension) == dimensions.end()) dimensions.push_back(dimension);
  };
  const json::array* list = wanted->if_array();
  request.dimensions_listed = list != nullptr;
  if (list == nullptr) return add(*wanted);
  if (list->empty()) refuse_field("dimensions", "a number, or a list of at least one");
  for (const json::value& value : *list) add(value);
}

void append_rows(std::string& out, const Embedded& embedded, std::size_t dimension) {
  out += '[';
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    if (i != 0) out += ',';
    append_floats(out, embedded.vector(i, dimension));
  }
  out += ']';
}

void append_report(std::string& out, const Embedded& embedded) {
  out += '[';
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    const TokenCount& count = embedded.count(i);
    if (i != 0) out += ',';
    out += "{\"tokens\":" + std::to_string(count.tokens) + ",\"full_tokens\":" + std::to_string(count.full_tokens) +
           ",\"truncated\":" + (count.truncated ? "true}" : "false}");
  }
  out += ']';
}

}  // namespace

TeiRequest parse_embed(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  TeiRequest request;
  parse_common(object, facts, request.options);
  request.options.normalize = find_bool(object, "normalize").value_or(true);
  request.report = find_bool(object, "report").value_or(false);
  parse_dimensions(request, object, facts);
  take_inputs(request, object, facts);
  return request;
}

TeiRequest parse_embed_all(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  TeiRequest request;
  parse_common(object, facts, request.options);
  request.options.pooled = false;
  request.options.token_states = true;
  take_inputs(request, object, facts);
  return request;
}

TeiRequest parse_similarity(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  const json::value& inputs = value_of(object, "inputs");
  if (!inputs.is_object()) refuse_field("inputs", "an object with `source_sentence` and `sentences`");
  const json::value& sentences = value_of(inputs.get_object(), "sentences");
  if (!sentences.is_array()) refuse_field("sentences", "a list of strings");
  if (sentences.get_array().empty())
    throw ApiError(ErrorKind::empty, "`inputs.sentences` cannot be empty", "inputs.sentences");
  json::array all{value_of(inputs.get_object(), "source_sentence")};
  all.insert(all.end(), sentences.get_array().begin(), sentences.get_array().end());
  for (const json::value& text : all) {
    if (!text.is_string()) refuse_field("inputs", "strings");
  }
  TeiRequest request;
  const json::value* parameters = find_value(object, "parameters");
  parse_common(parameters == nullptr ? json::object{} : object_of(*parameters), facts, request.options);
  take_inputs(request, json::object{{"inputs", std::move(all)}}, facts);
  return request;
}

std::vector<TeiRequest> parse_vertex(const json::value& body, const ModelFacts& facts) {
  const json::value& instances = value_of(object_of(body), "instances");
  if (!instances.is_array()) refuse_field("instances", "a list of objects with `inputs`");
  std::vector<TeiRequest> requests;
  std::size_t inputs = 0;
  for (const json::value& instance : instances.get_array()) {
    requests.push_back(parse_embed(instance, facts));
    inputs += requests.back().inputs.size();
  }
  check_batch_size(facts, inputs);
  return requests;
}

bool is_similarity(const json::value& body) {
  const json::object* object = body.if_object();
  const json::value* inputs = object == nullptr ? nullptr : object->if_contains("inputs");
  return inputs != nullptr && inputs->is_object();
}

std::string embed_answer(const TeiRequest& request, const Embedded& embedded) {
  std::string out;
  if (request.report) out += "{\"embeddings\":";
  if (request.dimensions_listed) {
    char separator = '{';
    for (std::size_t i = 0; i < request.options.dimensions.size(); ++i) {
      out += std::exchange(separator, ',');
      out += '"';
      out += std::to_string(request.options.dimensions[i]);
      out += "\":";
      append_rows(out, embedded, i);
    }
    out += '}';
  } else {
    append_rows(out, embedded, 0);
  }
  if (!request.report) return out;
  out += ",\"report\":";
  append_report(out, embedded);
  return out + "}";
}

std::string embed_all_answer(const Embedded& embedded) {
  std::string out = "[";
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    const FloatMatrix& states = embedded.token_states(i);
    out += i == 0 ? "[" : ",[";
    for (std::size_t row = 0; row < states.rows; ++row) {
      if (row != 0) out += ',';
      append_floats(out, states.row(row));
    }
    out += ']';
  }
  return out + "]";
}

std::string similarity_answer(const Embedded& embedded) {
  const auto source = embedded.vector(0);
  std::string out = "[";
  for (std::size_t i = 1; i < embedded.size(); ++i) {
    const auto other = embedded.vector(i);
    double sum = 0;
    for (std::size_t k = 0; k < source.size(); ++k)
      sum += static_cast<double>(source[k]) * static_cast<double>(other[k]);
    if (i != 1) out += ',';
    append_float(out, static_cast<float>(std::clamp(sum, -1.0, 1.0)));
  }
  return out + "]";
}

TokenizeBody parse_tokenize(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  TokenizeBody request;
  request.inputs = parse_inputs(value_of(object, "inputs"), "inputs");
  if (!request.inputs.ids.empty()) refuse_field("inputs", "a string or a list of strings");
  check_batch_size(facts, request.inputs.size());
  EmbedOptions prompt;
  take_prompt(object, facts, prompt);
  request.options.prompt = prompt.prompt;
  request.options.add_special_tokens = find_bool(object, "add_special_tokens").value_or(true);
  request.options.offsets = true;
  return request;
}

std::string tokenize_answer(const std::vector<std::vector<TokenText>>& texts) {
  std::string out = "[";
  for (const auto& tokens : texts) {
    out += out.size() == 1 ? "[" : ",[";
    for (const TokenText& token : tokens) {
      if (&token != tokens.data()) out += ',';
      out += "{\"id\":" + std::to_string(token.id) + ",\"text\":";
      format::append_json_string(out, token.text);
      out += token.special ? ",\"special\":true,\"start\":" : ",\"special\":false,\"start\":";
      out += token.offsets ? std::to_string(token.offsets->start) : "null";
      out += ",\"stop\":" + (token.offsets ? std::to_string(token.offsets->stop) : "null") + "}";
    }
    out += ']';
  }
  return out + "]";
}

DecodeRequest parse_decode(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  const json::value& value = value_of(object, "ids");
  if (value.is_string()) refuse_field("ids", "a list of token ids, or a list of those");
  if (value.is_array() && value.get_array().empty())
    throw ApiError(ErrorKind::empty, "`input_ids` cannot be empty", "ids");
  Inputs inputs = parse_inputs(value, "input_ids");
  if (!inputs.texts.empty()) refuse_field("ids", "a list of token ids, or a list of those");
  check_batch_size(facts, inputs.size());
  check_ids(inputs, facts, false);
  DecodeRequest request;
  request.ids = std::move(inputs.ids);
  request.skip_special_tokens = find_bool(object, "skip_special_tokens").value_or(true);
  return request;
}

std::string decode_answer(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() != 1) out += ',';
    format::append_json_string(out, text);
  }
  return out + "]";
}

}  // namespace stella::server
