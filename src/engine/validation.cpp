#include "engine/validation.hpp"

#include "base/utf8.hpp"
#include "stella/error.hpp"

#include <algorithm>

namespace stella::engine {

void validate_size(std::string_view text) {
  if (text.empty()) throw Error(Errc::empty_text, "the text is empty; give at least one character");
  if (text.size() > kMaxTextBytes) {
    throw Error(Errc::text_too_large, "the text has " + std::to_string(text.size()) + " bytes; at most " +
                                          std::to_string(kMaxTextBytes) + " are allowed, so split it");
  }
}

void validate_text(std::string_view text) {
  validate_size(text);
  const std::size_t bad = utf8::find_invalid(text);
  if (bad != std::string_view::npos) {
    throw Error(Errc::invalid_utf8,
                "the text is not valid UTF-8 at byte " + std::to_string(bad) + "; convert it to UTF-8");
  }
}

void rethrow_at_index(std::size_t index) {
  try {
    throw;
  } catch (const Error& error) {
    throw Error(error.errc(), "Text at index " + std::to_string(index) + ": " + error.what(), error.context());
  }
}

void validate_batch_count(std::size_t texts) {
  if (texts == 0) throw Error(Errc::empty_batch, "the batch is empty; give at least one text");
  if (texts > kMaxBatchTexts) {
    throw Error(Errc::batch_too_large, "the batch has " + std::to_string(texts) + " texts; at most " +
                                           std::to_string(kMaxBatchTexts) +
                                           " are allowed, so use chunked_batch_embed()");
  }
}

void validate_batch(const std::vector<std::string>& texts) {
  validate_batch_count(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    at_index(i, [&] { validate_text(texts[i]); });
  }
}

void validate_dimension(const std::string& model, std::size_t dimension, const std::vector<std::size_t>& supported) {
  if (std::find(supported.begin(), supported.end(), dimension) != supported.end()) return;
  std::string list;
  for (const std::size_t size : supported) list += (list.empty() ? "" : ", ") + std::to_string(size);
  throw Error(Errc::unsupported_dimension, "Model '" + model + "' does not support " + std::to_string(dimension) +
                                               "D embeddings. Supported dimensions: [" + list + "]");
}

}  // namespace stella::engine
