#include "server/observe/trace_context.hpp"

#include "base/ascii.hpp"

#include <algorithm>
#include <random>
#include <span>

namespace stella::server {
namespace {

constexpr std::size_t kLength = 55;  // of version 00

unsigned digit_of(char c) {
  return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}

/// False for an id of zeros, which is none.
bool read_hex(std::string_view text, std::span<std::uint8_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::uint8_t>(digit_of(text[2 * i]) << 4U | digit_of(text[2 * i + 1]));
  }
  return std::any_of(out.begin(), out.end(), [](std::uint8_t byte) { return byte != 0; });
}

void fill(std::span<std::uint8_t> out) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  do {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random());
  } while (std::all_of(out.begin(), out.end(), [](std::uint8_t byte) { return byte == 0; }));
}

}  // namespace

std::string hex_of(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  // version "-" trace-id "-" parent-id "-" flags
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace = text.substr(3, 32);
  const std::string_view span = text.substr(36, 16);
  const std::string_view flags = text.substr(53, 2);
  for (const std::string_view part : {version, trace, span, flags}) {
    if (!is_lower_hex(part)) return std::nullopt;
  }
  if (version == "ff" || (version == "00" && text.size() != kLength)) return std::nullopt;
  if (text.size() > kLength && text[kLength] != '-') return std::nullopt;
  TraceContext context;
  if (!read_hex(trace, context.trace_id) || !read_hex(span, context.span_id)) return std::nullopt;
  context.sampled = (digit_of(flags[1]) & 1U) != 0;
  return context;
}

std::string to_traceparent(const TraceContext& context) {
  return "00-" + trace_id_of(context) + "-" + span_id_of(context) + (context.sampled ? "-01" : "-00");
}

TraceContext new_span(const std::optional<TraceContext>& parent) {
  TraceContext span = parent.value_or(TraceContext());
  if (!parent) fill(span.trace_id);
  fill(span.span_id);
  return span;
}

}  // namespace stella::server
