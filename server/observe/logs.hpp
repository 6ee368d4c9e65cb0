// What the server writes down, a line each: remarks, and an access log. As text for people or JSON for machines.
#pragma once

#include "server/observe/bounded_queue.hpp"
#include "stella/log.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace stella::server {

using WallTime = std::chrono::system_clock::time_point;

/// A request that was answered. Neither texts nor keys.
struct RequestRecord {
  WallTime start{};
  std::chrono::nanoseconds total{};
  std::string method{};
  std::string path{};
  unsigned status = 0;
  std::string peer{};
  std::string id{};
  std::string trace_id{};
  std::uint64_t sent = 0;  ///< Bytes of the body.
  std::uint64_t texts = 0;
  std::uint64_t tokens = 0;
};

/// "2026-11-26T20:00:00.123Z"
std::string time_text(WallTime time);

// Lines without their newline.
/// `2026-11-26T20:00:00.123Z 127.0.0.1 "POST /embed" 200 12.3 ms, 3 texts, 40 tokens, 5120 bytes, id abc, trace def`
std::string text_line(const RequestRecord& request);
/// {"timestamp":…,"level":"INFO","message":"request",…}
std::string json_line(const RequestRecord& request);
/// {"timestamp":…,"level":"INFO","message":…}
std::string json_line(LogLevel level, std::string_view message, WallTime time);

/// Writes lines to a descriptor from a thread of its own: a terminal or a pipe that takes none holds nobody up, and
/// what does not fit meanwhile is dropped and counted in a line of its own. At its end what is left is written, where
/// that is taken within a second. Thread-safe.
class LogWriter {
 public:
  /// `json`: lines of JSON; else text as it is for people.
  LogWriter(int descriptor, bool json);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  ~LogWriter();

  /// Text has "stella: " before it.
  void say(LogLevel level, std::string_view message);
  void request(const RequestRecord& request) { queue_.add(json_ ? json_line(request) : text_line(request)); }

 private:
  void run();
  std::string remark(LogLevel level, std::string_view message) const;
  void write_lines(const std::vector<std::string>& lines, std::uint64_t& told) const;
  void write_whole(std::string_view text) const;

  const int descriptor_;
  const bool json_;
  BoundedQueue<std::string> queue_;
  std::atomic<bool> ending_{false};
  std::thread thread_;  // last: it uses the others
};

}  // namespace stella::server
