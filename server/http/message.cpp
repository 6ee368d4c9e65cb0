#include "server/http/message.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <random>

namespace stella::server {
namespace {

constexpr std::size_t kMaxRequestId = 128;

std::string new_request_id() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(random()));
  return text.data();
}

}  // namespace

std::string path_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const std::size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
    break;
  }
  return std::string(target.substr(0, target.find_first_of("?#")));
}

std::string_view reason_of(unsigned status) noexcept {
  constexpr std::array<std::pair<unsigned, std::string_view>, 20> kReasons{{{100, "Continue"},
                                                                            {200, "OK"},
                                                                            {204, "No Content"},
                                                                            {400, "Bad Request"},
                                                                            {401, "Unauthorized"},
                                                                            {404, "Not Found"},
                                                                            {405, "Method Not Allowed"},
                                                                            {408, "Request Timeout"},
                                                                            {413, "Content Too Large"},
                                                                            {415, "Unsupported Media Type"},
                                                                            {417, "Expectation Failed"},
                                                                            {422, "Unprocessable Content"},
                                                                            {424, "Failed Dependency"},
                                                                            {429, "Too Many Requests"},
                                                                            {431, "Request Header Fields Too Large"},
                                                                            {499, "Client Closed Request"},
                                                                            {500, "Internal Server Error"},
                                                                            {501, "Not Implemented"},
                                                                            {503, "Service Unavailable"},
                                                                            {504, "Gateway Timeout"}}};
  const auto* const found =
      std::find_if(kReasons.begin(), kReasons.end(), [status](const auto& reason) { return reason.first == status; });
  return found == kReasons.end() ? "Error" : found->second;
}

std::string head_of(const Response& response, const HeadOptions& options) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head += reason_of(response.status);
  head += "\r\n";
  const auto add = [&head](std::string_view name, std::string_view value) {
    head += name;
    head += ": ";
    head += value;
    head += "\r\n";
  };
  if (!response.body.empty()) add("content-type", response.type);
  if (response.status != 204) add("content-length", std::to_string(response.body.size()));
  add("connection", options.keep_alive ? "keep-alive" : "close");
  add("date", options.date);
  add("x-request-id", options.request_id);
  for (const Field& field : response.fields) add(field.name, field.value);
  return head + "\r\n";
}

std::string request_id_of(const Fields& fields) {
  const std::string* given = find_field(fields, "x-request-id");
  const bool fit = given != nullptr && !given->empty() && given->size() <= kMaxRequestId &&
                   std::all_of(given->begin(), given->end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  return fit ? *given : new_request_id();
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays.at(static_cast<std::size_t>(parts.tm_wday)), parts.tm_mday,
                kMonths.at(static_cast<std::size_t>(parts.tm_mon)), parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                parts.tm_sec);
  return text.data();
}

}  // namespace stella::server
