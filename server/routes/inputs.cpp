#include "server/routes/inputs.hpp"

#include "server/routes/errors.hpp"
#include "server/routes/fields.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace stella::server {
namespace {

constexpr std::size_t kCharactersPerToken = 250;
constexpr std::uint64_t kMaxId = std::numeric_limits<std::int32_t>::max();

bool starts_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

[[noreturn]] void refuse_empty(std::string_view name) {
  throw ApiError(ErrorKind::empty, "`" + std::string(name) + "` cannot be empty", std::string(name));
}

void add_text(Inputs& inputs, const json::string& text, std::string_view name) {
  if (text.empty()) refuse_empty(name);
  inputs.texts.emplace_back(text.data(), text.size());
  inputs.characters += count_characters(inputs.texts.back());
  inputs.is_ids.push_back(false);
}

void add_ids(Inputs& inputs, const json::array& array, std::string_view name) {
  if (array.empty()) refuse_empty(name);
  TokenIds ids;
  ids.reserve(array.size());
  for (const json::value& id : array) ids.push_back(static_cast<std::int32_t>(number_of(id, name, kMaxId)));
  inputs.ids.push_back(std::move(ids));
  inputs.is_ids.push_back(true);
}

/// The first `count` characters of `text`, or the last.
std::string cut(const std::string& text, std::size_t count, TruncationSide side) {
  std::size_t at = side == TruncationSide::left ? text.size() : 0;
  if (side == TruncationSide::left) {
    while (count != 0 && at != 0) count -= starts_character(text[--at]) ? 1U : 0U;
    return text.substr(at);
  }
  while (at != text.size() && (count != 0 || !starts_character(text[at])))
    count -= starts_character(text[at++]) ? 1U : 0U;
  return text.substr(0, at);
}

bool has_template(const TokenIds& ids, const ModelFacts& facts) {
  return ids.size() >= facts.before.size() + facts.behind.size() &&
         std::equal(facts.before.begin(), facts.before.end(), ids.begin()) &&
         std::equal(facts.behind.rbegin(), facts.behind.rend(), ids.rbegin());
}

}  // namespace

Inputs parse_inputs(const json::value& value, std::string_view name) {
  Inputs inputs;
  inputs.single = true;
  inputs.field = name;
  if (const json::string* text = value.if_string()) {
    add_text(inputs, *text, name);
    return inputs;
  }
  if (!value.is_array()) refuse_field(name, "a string, a list of token ids, or a list of those");
  const json::array& array = value.get_array();
  if (array.empty()) refuse_empty(name);
  if (array.front().is_number()) {
    add_ids(inputs, array, name);
    return inputs;
  }
  inputs.single = false;
  for (const json::value& item : array) {
    if (const json::string* text = item.if_string()) {
      add_text(inputs, *text, name);
    } else if (const json::array* ids = item.if_array()) {
      add_ids(inputs, *ids, name);
    } else {
      refuse_field(name, "a string, a list of token ids, or a list of those");
    }
  }
  return inputs;
}

void check_ids(const Inputs& inputs, const ModelFacts& facts, bool template_wanted) {
  const std::string remedy =
      "; the ids come from another model's tokenizer: send texts instead (LangChain: check_embedding_ctx_length=False)";
  const auto vocabulary = static_cast<std::int64_t>(facts.description.vocab_size);
  for (const TokenIds& ids : inputs.ids) {
    const auto unknown =
        std::find_if(ids.begin(), ids.end(), [vocabulary](std::int32_t id) { return id >= vocabulary; });
    if (unknown != ids.end()) {
      throw ApiError(ErrorKind::validation,
                     "token id " + std::to_string(*unknown) + " is not in the vocabulary, which has " +
                         std::to_string(vocabulary) + " ids" + remedy,
                     "input");
    }
    if (template_wanted && !facts.any_token_ids && !has_template(ids, facts)) {
      throw ApiError(ErrorKind::validation,
                     "the token ids lack the special tokens that this model puts around a text" + remedy +
                         ", or start the server with --token-ids any",
                     "input");
    }
  }
}

void limit_characters(Inputs& inputs, const ModelFacts& facts, const EmbedOptions& options) {
  const std::size_t limit = kCharactersPerToken * facts.max_input_length();
  for (std::string& text : inputs.texts) {
    if (text.size() <= limit) continue;
    const std::size_t characters = count_characters(text);
    if (characters <= limit) continue;
    if (options.on_long == OnLong::error) {
      throw ApiError(ErrorKind::validation,
                     "`" + inputs.field + "` must have less than " + std::to_string(limit) +
                         " characters. Given: " + std::to_string(characters),
                     inputs.field);
    }
    text = cut(text, limit, options.truncation_side.value_or(TruncationSide::right));
  }
}

}  // namespace stella::server
