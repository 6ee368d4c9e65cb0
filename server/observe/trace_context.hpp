// Which trace a request belongs to: the W3C's `traceparent`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stella::server {

struct TraceContext {
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> span_id{};
  bool sampled = true;
};

/// Of the field's value; nothing for one that is malformed, which the standard wants ignored. Of versions to come what
/// version 00 has.
std::optional<TraceContext> parse_traceparent(std::string_view text);

/// "00-{trace}-{span}-01"
std::string to_traceparent(const TraceContext& context);

std::string hex_of(std::string_view bytes);
inline std::string trace_id_of(const TraceContext& context) {
  return hex_of({reinterpret_cast<const char*>(context.trace_id.data()), context.trace_id.size()});
}
inline std::string span_id_of(const TraceContext& context) {
  return hex_of({reinterpret_cast<const char*>(context.span_id.data()), context.span_id.size()});
}

/// A span of its own within the trace of `parent`; without one, of a new trace.
TraceContext new_span(const std::optional<TraceContext>& parent);

}  // namespace stella::server
