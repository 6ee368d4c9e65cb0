#include "server/routes/cohere.hpp"

#include "format/json_text.hpp"
#include "server/routes/common.hpp"
#include "server/routes/errors.hpp"
#include "server/routes/fields.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace stella::server {
namespace {

using Name = std::pair<std::string_view, Encoding>;
constexpr std::array<Name, 6> kEncodings{{{"float", Encoding::floats},
                                          {"int8", Encoding::int8},
                                          {"uint8", Encoding::uint8},
                                          {"binary", Encoding::binary},
                                          {"ubinary", Encoding::ubinary},
                                          {"base64", Encoding::base64}}};

constexpr std::array<std::pair<std::string_view, const char*>, 4> kTasks{
    {{"search_query", "s2p"}, {"search_document", "document"}, {"classification", "s2s"}, {"clustering", "s2s"}}};

template <class Names>
const auto& find_name(const Names& names, std::string_view field, std::string_view name) {
  const auto* const found =
      std::find_if(names.begin(), names.end(), [name](const auto& known) { return known.first == name; });
  if (found != names.end()) return found->second;
  std::string known = "one of: ";
  for (const auto& one : names) known += (&one == names.data() ? "" : ", ") + std::string(one.first);
  refuse_field(field, known);
}

void take_encodings(CohereRequest& request, const json::object& object) {
  const json::value* wanted = find_value(object, "embedding_types");
  if (wanted != nullptr && !wanted->is_array()) refuse_field("embedding_types", "a list of strings");
  if (wanted != nullptr) {
    for (const json::value& type : wanted->get_array()) {
      if (!type.is_string()) refuse_field("embedding_types", "a list of strings");
      const Encoding encoding =
          find_name(kEncodings, "embedding_types", {type.get_string().data(), type.get_string().size()});
      if (std::find(request.encodings.begin(), request.encodings.end(), encoding) == request.encodings.end())
        request.encodings.push_back(encoding);
    }
  }
  if (request.encodings.empty()) request.encodings.push_back(Encoding::floats);
}

void take_input_type(const json::object& object, const ModelFacts& facts, EmbedOptions& options) {
  const auto type = find_text(object, "input_type");
  if (!type) throw ApiError(ErrorKind::wrong_shape, "missing field `input_type`", "input_type");
  if (*type == "image") refuse_field("input_type", "one of texts; this model embeds no images");
  const std::string task = find_name(kTasks, "input_type", *type);
  if (find_value(object, "task") != nullptr || find_value(object, "prompt_name") != nullptr)
    return take_prompt(object, facts, options);
  try {
    choose_prompt(facts, task, options);
  } catch (const ApiError&) {
    options.prompt = "";  // a model without prompts takes every text as it is
  }
}

void take_truncation(const json::object& object, const ModelFacts& facts, EmbedOptions& options) {
  const auto truncate = find_text(object, "truncate");
  options.on_long = facts.auto_truncate ? OnLong::truncate : OnLong::error;
  if (truncate == "START" || truncate == "END") {
    options.on_long = OnLong::truncate;
    options.truncation_side = truncate == "START" ? TruncationSide::left : TruncationSide::right;
  } else if (truncate == "NONE") {
    options.on_long = OnLong::error;
  } else if (truncate) {
    refuse_field("truncate", "one of: NONE, START, END");
  }
  const json::value* most = find_value(object, "max_tokens");
  constexpr std::uint64_t kMax = 1'000'000;
  if (most != nullptr) {
    const auto tokens = static_cast<std::size_t>(number_of(*most, "max_tokens", kMax));
    options.max_length = std::min(tokens, facts.max_input_length());
  }
}

/// The text of one of `inputs`: {"content":[{"type":"text","text":…}]}.
json::value text_of(const json::value& input) {
  const json::object* object = input.if_object();
  const json::value* content = object == nullptr ? nullptr : object->if_contains("content");
  const json::array* parts = content == nullptr ? nullptr : content->if_array();
  const json::object* part = parts == nullptr || parts->size() != 1 ? nullptr : parts->front().if_object();
  const json::value* type = part == nullptr ? nullptr : part->if_contains("type");
  const json::value* text = type == nullptr || *type != "text" ? nullptr : part->if_contains("text");
  if (text == nullptr || !text->is_string())
    refuse_field("inputs", "objects whose `content` is one part of type text; this model embeds no images");
  return *text;
}

Inputs parse_texts(const json::object& object) {
  for (const char* field : {"images", "text"}) {
    if (find_value(object, field) != nullptr) refuse_field(field, "left out; send `texts`, a list of strings");
  }
  const json::value* inputs = find_value(object, "inputs");
  const json::value& texts = inputs == nullptr ? value_of(object, "texts") : *inputs;
  const char* name = inputs == nullptr ? "texts" : "inputs";
  if (!texts.is_array()) refuse_field(name, "a list");
  json::array all;
  for (const json::value& text : texts.get_array()) {
    if (inputs == nullptr && !text.is_string()) refuse_field(name, "a list of strings");
    all.push_back(inputs == nullptr ? text : text_of(text));
  }
  return parse_inputs(all, name);
}

void append_vectors(std::string& out, const Embedded& embedded, Encoding encoding) {
  out += '[';
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    if (i != 0) out += ',';
    append_encoded(out, embedded.vector(i), encoding);
  }
  out += ']';
}

}  // namespace

CohereRequest parse_cohere(const json::value& body, const ModelFacts& facts) {
  const json::object& object = object_of(body);
  check_model(facts, find_text(object, "model").value_or(""));
  CohereRequest request;
  take_encodings(request, object);
  take_input_type(object, facts, request.options);
  take_truncation(object, facts, request.options);
  if (const json::value* wanted = find_value(object, "output_dimension"))
    request.options.dimensions = {dimension_of(*wanted, facts, "output_dimension")};
  request.inputs = parse_texts(object);
  check_batch_size(facts, request.inputs.size());
  limit_characters(request.inputs, facts, request.options);
  return request;
}

std::string cohere_answer(const CohereRequest& request, const Embedded& embedded, std::string_view id) {
  std::string out = "{\"id\":";
  format::append_json_string(out, id);
  out += ",\"embeddings\":";
  char separator = '{';
  for (const Encoding encoding : request.encodings) {
    out += std::exchange(separator, ',');
    const auto* const known = std::find_if(kEncodings.begin(), kEncodings.end(),
                                           [encoding](const Name& name) { return name.second == encoding; });
    format::append_json_string(out, known->first);
    out += ':';
    append_vectors(out, embedded, encoding);
  }
  out += "},\"texts\":[";
  for (const std::string& text : request.inputs.texts) {
    if (&text != request.inputs.texts.data()) out += ',';
    format::append_json_string(out, text);
  }
  return out + R"(],"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":)" +
         std::to_string(embedded.tokens()) + R"(}},"response_type":"embeddings_by_type"})";
}

}  // namespace stella::server
