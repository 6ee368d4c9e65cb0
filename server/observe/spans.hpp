// Spans for OpenTelemetry: one for each request, as OTLP/HTTP in JSON.
#pragma once

#include "server/observe/bounded_queue.hpp"
#include "server/observe/trace_context.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace stella::server {

/// What a request was and took. Neither texts nor keys.
struct Span {
  TraceContext context{};
  std::optional<TraceContext> parent{};
  std::string name{};       ///< "POST /embed"
  std::uint64_t start = 0;  ///< Nanoseconds since 1970, as `end`.
  std::uint64_t end = 0;
  bool failed = false;  ///< The server's fault.
  std::vector<std::pair<std::string, std::string>> texts{};
  std::vector<std::pair<std::string, std::int64_t>> numbers{};
};

/// The body of a POST to a collector's /v1/traces.
std::string otlp_json(std::string_view service, std::string_view version, std::span<const Span> spans);

/// The address that spans are posted to: the collector's with "/v1/traces", unless it has a path of its own. Throws
/// Error(invalid_argument) where it is no http or https URL.
std::string traces_url(const std::string& endpoint);

/// Sends spans from a thread of its own. What a collector does not take in time is lost and counted; nobody waits for
/// it. At its end what is still there is sent, for two seconds at most. Thread-safe.
class SpanExporter {
 public:
  SpanExporter(const std::string& endpoint, std::string service, std::string version);
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;
  ~SpanExporter();

  void add(Span span) { queue_.add(std::move(span)); }
  std::uint64_t sent() const noexcept { return sent_; }
  /// Lost: the queue was full, or the collector did not take them.
  std::uint64_t lost() const { return refused_ + queue_.dropped(); }

 private:
  void run();
  bool send(void* curl, std::span<const Span> spans);
  bool post(void* curl, const std::string& body) const;
  bool is_over() const noexcept;

  const std::string url_;
  const std::string service_;
  const std::string version_;
  BoundedQueue<Span> queue_;
  bool told_ = false;  // the thread's alone
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::int64_t> give_up_{0};  ///< When it ends: steady_clock's count of the last moment.
  std::thread thread_;                    // last: it uses the others
};

}  // namespace stella::server
