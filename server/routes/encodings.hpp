// Vectors as clients want them written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace stella::server {

enum class Encoding : std::uint8_t {
  floats,
  base64,
  int8,
  uint8,  ///< int8 plus 128; Cohere's clients only.
  binary,
  ubinary
};

/// Of `encoding_format`. Throws ApiError that lists the names.
Encoding parse_encoding(const std::string& name);

/// Appends `[v,…]`, each value the shortest decimal that reads back to the same float32. Throws std::domain_error where
/// one is not finite.
void append_floats(std::string& out, std::span<const float> values);
void append_float(std::string& out, float value);

/// "…" of the values as little-endian float32.
void append_base64(std::string& out, std::span<const float> values);

struct Quantised {
  std::vector<std::int8_t> values;  ///< (dimension), -127 to 127
  float scale = 0;                  ///< values[i] * scale is the vector again; 0 for a vector of zeros.
};
Quantised quantise(std::span<const float> values);

/// Bit 7 of byte 0 is the first value's, 1 where it is above 0; the last byte is filled with 0.
std::vector<std::uint8_t> pack_signs(std::span<const float> values);

/// A vector as a JSON value; of int8 without the scale.
void append_encoded(std::string& out, std::span<const float> values, Encoding encoding);

/// The fields of a vector in OpenAI's answer: `"embedding":…`, for int8 followed by `,"scale":…`.
void append_embedding(std::string& out, std::span<const float> values, Encoding encoding);

}  // namespace stella::server
