#include "server/routes/facts.hpp"

#include "base/text.hpp"
#include "server/routes/errors.hpp"
#include "stella/error.hpp"

#include <algorithm>

namespace stella::server {

bool names_model(const ModelFacts& facts, const std::string& name) {
  return name.empty() || name == facts.served_name || name == facts.id;
}

void check_batch_size(const ModelFacts& facts, std::size_t size) {
  if (size <= facts.max_texts) return;
  throw ApiError(
      ErrorKind::wrong_shape,
      "batch size " + std::to_string(size) + " > maximum allowed batch size " + std::to_string(facts.max_texts),
      "input");
}

void choose_prompt(const ModelFacts& facts, const std::optional<std::string>& name, EmbedOptions& options) {
  const std::optional<std::string>& wanted = name ? name : facts.default_prompt_name;
  if (!wanted) {
    options.prompt = facts.default_prompt.value_or("");
    return;
  }
  try {
    options.prompt = wanted->empty() ? "" : facts.description.prompt_for(*wanted);
  } catch (const Error&) {
    std::string known;
    for (const auto& [task, prompt] : facts.description.prompts) known += (known.empty() ? "" : ", ") + task;
    throw ApiError(ErrorKind::validation,
                   "`default-prompt-name` is set to `" + printable_line(*wanted, kMaxNameBytes) +
                       "` but it was not found in the Sentence Transformers prompts. Available prompts: " + known,
                   "prompt_name");
  }
}

void check_dimension(const ModelFacts& facts, std::size_t dimension, const std::string& name) {
  const auto& heads = facts.description.dimensions;
  if (std::find(heads.begin(), heads.end(), dimension) != heads.end()) return;
  if (heads.empty() && dimension == facts.description.default_dimension) return;
  if (dimension == 0) throw ApiError(ErrorKind::validation, "`" + name + "` should be positive", name);
  std::string known = heads.empty() ? std::to_string(facts.description.default_dimension) : "";
  for (const std::size_t head : heads) known += (known.empty() ? "" : ", ") + std::to_string(head);
  throw ApiError(
      ErrorKind::validation,
      "`" + name + "` is " + std::to_string(dimension) + ", and this model has no head of that size; it has: " + known,
      name);
}

}  // namespace stella::server
