#include "server/routes/common.hpp"

#include "base/text.hpp"
#include "server/routes/errors.hpp"
#include "server/routes/fields.hpp"

namespace stella::server {

void check_model(const ModelFacts& facts, const std::string& name) {
  if (names_model(facts, name)) return;
  throw ApiError(ErrorKind::model_not_found,
                 "The model `" + printable_line(name, kMaxNameBytes) + "` does not exist here; this server has `" +
                     facts.served_name + "`",
                 "model");
}

void take_prompt(const json::object& object, const ModelFacts& facts, EmbedOptions& options) {
  auto prompt = find_text(object, "prompt_name");
  if (!prompt) prompt = find_text(object, "task");
  choose_prompt(facts, prompt, options);
}

std::size_t dimension_of(const json::value& value, const ModelFacts& facts, const std::string& name) {
  constexpr std::uint64_t kMaxDimension = 1'000'000;
  const auto dimension = static_cast<std::size_t>(number_of(value, name, kMaxDimension));
  check_dimension(facts, dimension, name);
  return dimension;
}

}  // namespace stella::server
