// What may be asked for, checked before any work is done for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stella::engine {

inline constexpr std::size_t kMaxTextBytes = 1'000'000;
inline constexpr std::size_t kMaxBatchTexts = 10'000;

/// Throws Error(empty_text | text_too_large): what can be said without reading the text.
void validate_size(std::string_view text);
/// Throws Error(empty_text | text_too_large | invalid_utf8).
void validate_text(std::string_view text);
/// Throws Error(empty_batch | batch_too_large).
void validate_batch_count(std::size_t texts);
/// validate_batch_count(), and validate_text() of every text with its index in front of the message.
void validate_batch(const std::vector<std::string>& texts);

/// Calls `check` and puts "Text at index {index}: " before the message of an Error that it throws.
template <class Check>
void at_index(std::size_t index, Check&& check);
[[noreturn]] void rethrow_at_index(std::size_t index);

/// Throws Error(unsupported_dimension) where `dimension` is not among `supported`.
void validate_dimension(const std::string& model, std::size_t dimension, const std::vector<std::size_t>& supported);

template <class Check>
void at_index(std::size_t index, Check&& check) {
  try {
    check();
  } catch (...) {
    rethrow_at_index(index);
  }
}

}  // namespace stella::engine
