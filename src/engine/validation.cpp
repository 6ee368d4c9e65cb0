#include "engine/validation.hpp"

#include "stella/error.hpp"

#include <algorithm>

namespace stella::engine {
namespace {

/// Bytes of the well-formed sequence that starts at `at`, or 0. Table 3-7 of the Unicode Standard.
std::size_t sequence_length(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto continues = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::size_t first_invalid_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = sequence_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

void validate_size(std::string_view text) {
  if (text.empty()) throw Error(Errc::empty_text, "the text is empty; give at least one character");
  if (text.size() > kMaxTextBytes) {
    throw Error(Errc::text_too_large, "the text has " + std::to_string(text.size()) + " bytes; at most " +
                                          std::to_string(kMaxTextBytes) + " are allowed, so split it");
  }
}

void validate_text(std::string_view text) {
  validate_size(text);
  const std::size_t bad = first_invalid_utf8(text);
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
