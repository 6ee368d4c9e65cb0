#include "server/routes/encodings.hpp"

#include "format/json_text.hpp"
#include "server/routes/errors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

namespace stella::server {
namespace {

constexpr std::array<std::pair<std::string_view, Encoding>, 5> kEncodings{{{"float", Encoding::floats},
                                                                           {"base64", Encoding::base64},
                                                                           {"int8", Encoding::int8},
                                                                           {"binary", Encoding::binary},
                                                                           {"ubinary", Encoding::ubinary}}};

static_assert(std::endian::native == std::endian::little, "base64 holds the vectors as they lie in memory");

template <class Numbers, class Change>
void append_numbers(std::string& out, const Numbers& numbers, Change change) {
  char separator = '[';
  for (const auto number : numbers) {
    out += std::exchange(separator, ',');
    out += std::to_string(change(number));
  }
  out += numbers.empty() ? "[]" : "]";
}

}  // namespace

Encoding parse_encoding(const std::string& name) {
  for (const auto& [known, encoding] : kEncodings) {
    if (name == known) return encoding;
  }
  throw ApiError(ErrorKind::wrong_shape, "`encoding_format` must be one of: float, base64, int8, binary, ubinary",
                 "encoding_format");
}

void append_float(std::string& out, float value) {
  if (!std::isfinite(value)) throw std::domain_error("the model gave a value that is not finite");
  format::append_float(out, value);
}

void append_floats(std::string& out, std::span<const float> values) {
  constexpr std::size_t kUsualLength = 14;
  out.reserve(out.size() + kUsualLength * values.size());
  out += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i != 0) out += ',';
    append_float(out, values[i]);
  }
  out += ']';
}

void append_base64(std::string& out, std::span<const float> values) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto bytes = std::as_bytes(values);
  out.reserve(out.size() + bytes.size() * 4 / 3 + 6);
  out += '"';
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < count; ++k) group |= std::to_integer<std::uint32_t>(bytes[i + k]) << (16 - 8 * k);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? kAlphabet[group >> (18 - 6 * k) & 63U] : '=';
  }
  out += '"';
}

Quantised quantise(std::span<const float> values) {
  constexpr float kMax = 127;
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  Quantised out;
  out.scale = largest / kMax;
  out.values.reserve(values.size());
  for (const float value : values) {
    const float scaled = out.scale == 0 ? 0 : value / out.scale;
    out.values.push_back(static_cast<std::int8_t>(std::lround(std::clamp(scaled, -kMax, kMax))));
  }
  return out;
}

std::vector<std::uint8_t> pack_signs(std::span<const float> values) {
  std::vector<std::uint8_t> packed((values.size() + 7) / 8);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0) packed[i / 8] = static_cast<std::uint8_t>(packed[i / 8] | 0x80U >> i % 8);
  }
  return packed;
}

void append_encoded(std::string& out, std::span<const float> values, Encoding encoding) {
  constexpr int kOffset = 128;
  switch (encoding) {
    case Encoding::floats:
      return append_floats(out, values);
    case Encoding::base64:
      return append_base64(out, values);
    case Encoding::int8:
      return append_numbers(out, quantise(values).values, [](std::int8_t value) { return static_cast<int>(value); });
    case Encoding::uint8:
      return append_numbers(out, quantise(values).values, [](std::int8_t value) { return value + kOffset; });
    case Encoding::binary:
      return append_numbers(out, pack_signs(values), [](std::uint8_t byte) { return byte - kOffset; });
    case Encoding::ubinary:
      return append_numbers(out, pack_signs(values), [](std::uint8_t byte) { return static_cast<int>(byte); });
  }
}

void append_embedding(std::string& out, std::span<const float> values, Encoding encoding) {
  out += "\"embedding\":";
  append_encoded(out, values, encoding);
  if (encoding != Encoding::int8) return;
  out += ",\"scale\":";
  append_float(out, quantise(values).scale);
}

}  // namespace stella::server
