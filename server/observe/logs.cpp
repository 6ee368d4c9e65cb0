#include "server/observe/logs.hpp"

#include "base/text.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <new>
#include <poll.h>
#include <unistd.h>
#include <utility>

#include <climits>

namespace stella::server {
namespace {

constexpr std::size_t kMaxQueued = 8192;

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "DEBUG";
    case LogLevel::info:
      return "INFO";
    case LogLevel::warning:
      return "WARN";
    default:
      return "ERROR";
  }
}

std::string milliseconds(std::chrono::nanoseconds time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", std::chrono::duration<double, std::milli>(time).count());
  return text.data();
}

}  // namespace

std::string time_text(WallTime time) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = since / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(since % 1000));
  return text.data();
}

std::string text_line(const RequestRecord& request) {
  std::string line = time_text(request.start) + " " + request.peer + " \"" + request.method + " " + request.path +
                     "\" " + std::to_string(request.status) + " " + milliseconds(request.total) + " ms";
  const auto add = [&line](std::uint64_t count, const char* what) {
    if (count != 0) line += ", " + std::to_string(count) + what;
  };
  add(request.texts, " texts");
  add(request.tokens, " tokens");
  add(request.sent, " bytes");
  line += ", id " + request.id;
  if (!request.trace_id.empty()) line += ", trace " + request.trace_id;
  return printable_line(line);
}

std::string json_line(const RequestRecord& request) {
  format::JsonText json;
  json.begin_object().member("timestamp", time_text(request.start)).member("level", "INFO");
  json.member("message", "request").member("method", request.method).member("path", request.path);
  json.member("status", request.status).key("ms").raw(milliseconds(request.total));
  json.member("texts", request.texts).member("tokens", request.tokens).member("bytes", request.sent);
  json.member("peer", request.peer).member("request_id", request.id);
  if (!request.trace_id.empty()) json.member("trace_id", request.trace_id);
  return json.end_object().take();
}

std::string json_line(LogLevel level, std::string_view message, WallTime time) {
  format::JsonText json;
  json.begin_object().member("timestamp", time_text(time)).member("level", name_of(level));
  return json.member("message", message).end_object().take();
}

LogWriter::LogWriter(int descriptor, bool json)
    : descriptor_(descriptor), json_(json), queue_(kMaxQueued), thread_([this] { run(); }) {}

LogWriter::~LogWriter() {
  ending_ = true;
  queue_.end();
  thread_.join();
}

std::string LogWriter::remark(LogLevel level, std::string_view message) const {
  if (json_) return json_line(level, message, std::chrono::system_clock::now());
  return "stella: " + printable_line(message);
}

void LogWriter::say(LogLevel level, std::string_view message) {
  queue_.add(remark(level, message));
}

void LogWriter::write_whole(std::string_view text) const {
  constexpr int kPatienceMs = 1000;
  while (!text.empty()) {
    // A pipe that is ready takes so much at once.
    pollfd ready{descriptor_, POLLOUT, 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) {
      if (ending_) return;
      continue;
    }
    const ssize_t written = ::write(descriptor_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void LogWriter::run() {
  std::uint64_t told = 0;
  while (const auto lines = queue_.take()) {
    try {
      write_lines(*lines, told);
    } catch (const std::bad_alloc&) {  // these lines are lost
    }
  }
}

/// `told`: how many dropped lines there is a remark about already.
void LogWriter::write_lines(const std::vector<std::string>& lines, std::uint64_t& told) const {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  const std::uint64_t dropped = queue_.dropped();
  if (dropped != told) {
    text += remark(LogLevel::warning, std::to_string(dropped - std::exchange(told, dropped)) + " lines dropped") + "\n";
  }
  write_whole(text);
}

}  // namespace stella::server
