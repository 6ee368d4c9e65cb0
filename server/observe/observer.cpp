#include "server/observe/observer.hpp"

#include "server/routes/router.hpp"

#include <chrono>
#include <new>
#include <utility>

namespace stella::server {
namespace {

constexpr std::size_t kMaxShown = 200;  // of a method and of a path

std::uint64_t nanoseconds_of(WallTime time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

std::int64_t microseconds_of(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

RequestRecord record_of(const Request& request, const Response& response, std::chrono::nanoseconds total) {
  RequestRecord record;
  record.start = request.start;
  record.total = total;
  record.method = request.method.substr(0, kMaxShown);
  record.path = request.path.substr(0, kMaxShown);
  record.status = response.status;
  record.peer = request.peer;
  record.id = request.id;
  if (request.parent) record.trace_id = trace_id_of(request.trace);
  record.sent = response.body.size();
  record.texts = response.work.texts;
  record.tokens = response.work.tokens;
  return record;
}

/// `entry` may be null: a route that there is not.
Span span_of(const RequestRecord& record, const RouteEntry* entry, const Request& request, const Work& work) {
  Span span;
  span.context = request.trace;
  span.parent = request.parent;
  // Of the route, not of the path: names should be few.
  const std::string route(entry == nullptr ? std::string_view() : entry->path);
  span.name = record.method + (route.empty() ? "" : " " + route);
  span.start = nanoseconds_of(record.start);
  span.end = span.start + static_cast<std::uint64_t>(record.total.count());
  constexpr unsigned kServerError = 500;
  span.failed = record.status >= kServerError;
  span.texts = {{"http.request.method", record.method},
                {"url.path", record.path},
                {"client.address", record.peer},
                {"stella.request_id", record.id}};
  if (!route.empty()) span.texts.emplace_back("http.route", route);
  span.numbers = {{"http.response.status_code", record.status}};
  if (work.texts == 0) return span;
  const auto add = [&span](const char* name, std::int64_t value) { span.numbers.emplace_back(name, value); };
  add("stella.texts", static_cast<std::int64_t>(work.texts));
  add("stella.tokens", static_cast<std::int64_t>(work.tokens));
  add("stella.queue_us", microseconds_of(work.queued));
  add("stella.tokenization_us", microseconds_of(work.tokenizing));
  add("stella.inference_us", microseconds_of(work.computing));
  return span;
}

}  // namespace

void Observer::begin(Request& request) {
  request.id = request_id_of(request.fields);
  request.start = std::chrono::system_clock::now();
  request.since = std::chrono::steady_clock::now();
  if (const std::string* given = find_field(request.fields, "traceparent")) request.parent = parse_traceparent(*given);
  request.trace = new_span(request.parent);
}

void Observer::end(const Request& request, Response& response) const try {
  if (request.parent) response.fields.push_back({"traceparent", to_traceparent(request.trace)});
  if (!access_log_ && !spans_) return;
  const RequestRecord record = record_of(request, response, std::chrono::steady_clock::now() - request.since);
  if (access_log_) access_log_->request(record);
  const Match match = find_route(request.method, request.path);
  const bool probe = match.entry != nullptr && match.entry->open;  // probes would be most of all spans
  if (spans_ && request.trace.sampled && !probe) spans_->add(span_of(record, match.entry, request, response.work));
} catch (const std::bad_alloc&) {  // a remark, for which there is no memory; the answer goes out all the same
}

}  // namespace stella::server
