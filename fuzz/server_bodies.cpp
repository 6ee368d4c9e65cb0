// Bodies of requests, of every route: the first byte chooses the route. What is taken must be what a model can be
// asked.
#include "server/routes/cohere.hpp"
#include "server/routes/fingerprint.hpp"
#include "server/routes/ollama.hpp"
#include "server/routes/openai.hpp"
#include "server/routes/tei.hpp"
#include "server_support.hpp"

#include <algorithm>

using namespace stella;
using fuzz::check;
using server::Family;

namespace {

const server::ModelFacts kFacts = fuzz::server_facts();

void check_texts(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    check(!text.empty(), "no text is empty");
    check(utf8::find_invalid(text) == std::string_view::npos, "texts are UTF-8");
  }
}

void check_inputs(const server::Inputs& inputs) {
  check(inputs.size() <= fuzz::kMaxBatch, "no batch is larger than may be");
  check(inputs.size() == inputs.texts.size() + inputs.ids.size(), "every input is a text or ids");
  check_texts(inputs.texts);
  for (const TokenIds& ids : inputs.ids) {
    check(!ids.empty(), "no list of ids is empty");
    for (const std::int32_t id : ids)
      check(id >= 0 && static_cast<std::size_t>(id) < kFacts.description.vocab_size, "ids are the vocabulary's");
  }
}

void check_options(const EmbedOptions& options) {
  const auto& prompts = kFacts.description.prompts;
  check(options.prompt.has_value(), "the prompt is chosen");
  check(std::any_of(prompts.begin(), prompts.end(), [&](const auto& one) { return one.second == *options.prompt; }),
        "the prompt is the model's");
  for (const std::size_t dimension : options.dimensions)
    check(dimension == 256 || dimension == 1024, "dimensions are trained heads");
  for (const char c : fingerprint_of(kFacts, options)) check(c >= ' ' && c <= '~', "a fingerprint fits a header");
}

void read_tei(const json::value& body) {
  const auto take = [](const server::TeiRequest& request) {
    check_inputs(request.inputs);
    check_options(request.options);
  };
  take(server::is_similarity(body) ? server::parse_similarity(body, kFacts) : server::parse_embed(body, kFacts));
}

template <class Read>
void read(Family family, std::string_view text, Read use) {
  fuzz::takes_or_answers(family, [&] { use(server::parse_json(text)); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = fuzz::text_of(data + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      read(Family::openai, text, [](const json::value& body) {
        const auto request = server::parse_openai(body, kFacts);
        check_inputs(request.inputs);
        check_options(request.options);
        check(request.inputs.texts.empty() || request.inputs.ids.empty(), "texts or ids, not both");
      });
      break;
    case 1:
      read(Family::tei, text, read_tei);
      break;
    case 2:
      read(Family::tei, text,
           [](const json::value& body) { check_inputs(server::parse_embed_all(body, kFacts).inputs); });
      break;
    case 3:
      read(Family::tei, text, [](const json::value& body) {
        std::size_t inputs = 0;
        for (const auto& request : server::parse_vertex(body, kFacts)) {
          check_inputs(request.inputs);
          inputs += request.inputs.size();
        }
        check(inputs <= fuzz::kMaxBatch, "instances are one batch");
      });
      break;
    case 4:
      read(Family::tei, text,
           [](const json::value& body) { check_texts(server::parse_tokenize(body, kFacts).inputs.texts); });
      break;
    case 5:
      read(Family::tei, text,
           [](const json::value& body) { check(!server::parse_decode(body, kFacts).ids.empty(), "ids"); });
      break;
    case 6:
      read(Family::ollama, text, [](const json::value& body) {
        const auto request = server::parse_ollama_embed(body, kFacts);
        check_inputs(request.inputs);
        check_options(request.options);
        server::parse_json(server::ollama_embed_answer(request, server::Embedded(), std::chrono::nanoseconds(1)));
      });
      break;
    default:
      read(Family::cohere, text, [](const json::value& body) {
        const auto request = server::parse_cohere(body, kFacts);
        check_inputs(request.inputs);
        check_options(request.options);
        check(!request.encodings.empty(), "an answer has a type");
        server::parse_json(server::cohere_answer(request, server::Embedded(), "id"));
      });
  }
  return 0;
}
