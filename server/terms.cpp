#include "server/terms.hpp"

#include "server/routes/fields.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace stella::server {
namespace {

std::optional<std::chrono::milliseconds> asked_timeout(const Request& request) {
  const std::string* field = find_field(request.fields, "x-timeout-ms");
  if (field == nullptr) return std::nullopt;
  constexpr std::int64_t kMax = 86'400'000;
  std::int64_t value = 0;
  for (const char c : *field) {
    if (c < '0' || c > '9' || value > kMax) refuse_field("x-timeout-ms", "a whole number of milliseconds");
    value = value * 10 + (c - '0');
  }
  if (field->empty() || value == 0) refuse_field("x-timeout-ms", "a whole number of milliseconds");
  return std::chrono::milliseconds(std::min(value, kMax));
}

}  // namespace

std::optional<std::chrono::steady_clock::time_point> deadline_of(const Request& request,
                                                                 std::optional<std::chrono::milliseconds> most,
                                                                 std::chrono::steady_clock::time_point start) {
  auto timeout = asked_timeout(request);
  if (most) timeout = timeout ? std::min(*timeout, *most) : *most;
  if (!timeout) return std::nullopt;
  return start + *timeout;
}

Priority priority_of(const Request& request, const Cost& cost) {
  const std::string* field = find_field(request.fields, "x-priority");
  if (field == nullptr) return priority_of(cost);
  if (*field == "interactive") return Priority::interactive;
  if (*field == "bulk") return Priority::bulk;
  refuse_field("x-priority", "interactive or bulk");
}

}  // namespace stella::server
