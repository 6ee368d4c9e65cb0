#include "stella/capable.hpp"

#include "engine/prompt.hpp"
#include "engine/validation.hpp"

#include <algorithm>

namespace stella {

bool TextEmbeddingCapable::supports_dimension(std::size_t dimension) const {
  const std::vector<std::size_t> supported = supported_dimensions();
  return supported.empty() || std::find(supported.begin(), supported.end(), dimension) != supported.end();
}

bool TextEmbeddingCapable::supports_task(std::string_view task) const {
  return engine::is_known_task(task);
}

void TextEmbeddingCapable::validate_input(std::string_view text) {
  engine::validate_text(text);
}

void TextEmbeddingCapable::validate_batch(const std::vector<std::string>& texts) {
  engine::validate_batch(texts);
}

}  // namespace stella
