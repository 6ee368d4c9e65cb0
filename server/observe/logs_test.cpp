#include "server/observe/logs.hpp"

#include "server/json/strict.hpp"

#include <array>
#include <chrono>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::HasSubstr;

// date -u -d @1795723200.123 +%FT%T.%3NZ
const WallTime kTime{std::chrono::milliseconds(1'795'723'200'123)};

RequestRecord record() {
  RequestRecord record;
  record.start = kTime;
  record.total = std::chrono::microseconds(12'340);
  record.method = "POST";
  record.path = "/embed";
  record.status = 200;
  record.peer = "127.0.0.1";
  record.id = "abc";
  return record;
}

struct Pipe {
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  /// All that was written.
  std::string text() {
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    std::string out;
    std::array<char, 4096> part{};
    for (ssize_t got = 0; (got = ::read(ends[0], part.data(), part.size())) > 0;)
      out.append(part.data(), static_cast<std::size_t>(got));
    return out;
  }
  std::array<int, 2> ends{};
};

TEST(Logs, RequestsAsText) {
  EXPECT_EQ(text_line(record()), "2026-11-26T20:00:00.123Z 127.0.0.1 \"POST /embed\" 200 12.3 ms, id abc");
  RequestRecord more = record();
  more.texts = 3;
  more.tokens = 40;
  more.sent = 5120;
  more.trace_id = "def";
  EXPECT_THAT(text_line(more), HasSubstr("12.3 ms, 3 texts, 40 tokens, 5120 bytes, id abc, trace def"));
}

TEST(Logs, RequestsAsJson) {
  EXPECT_EQ(json_line(record()),
            R"({"timestamp":"2026-11-26T20:00:00.123Z","level":"INFO","message":"request","method":"POST",)"
            R"("path":"/embed","status":200,"ms":12.3,"texts":0,"tokens":0,"bytes":0,"peer":"127.0.0.1",)"
            R"("request_id":"abc"})");
  EXPECT_EQ(json_line(LogLevel::warning, "a\"b", kTime),
            R"({"timestamp":"2026-11-26T20:00:00.123Z","level":"WARN","message":"a\"b"})");
}

TEST(Logs, NothingByStrangersBreaksALine) {
  RequestRecord odd = record();
  odd.path = "/\x1b[31m\n200 \"x\"\r\n\xff";
  for (const std::string& line : {text_line(odd), json_line(odd)}) {
    for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20U) << line;
  }
  EXPECT_NO_THROW(parse_json(json_line(odd)));
}

TEST(LogWriter, WritesLines) {
  Pipe pipe;
  {
    LogWriter log(pipe.ends[1], false);
    log.say(LogLevel::info, "listening");
    log.request(record());
  }
  EXPECT_EQ(pipe.text(), "stella: listening\n" + text_line(record()) + "\n");
}

TEST(LogWriter, AReaderWhoReadsNothingHoldsNobodyUp) {
  Pipe pipe;
  constexpr int kLines = 50'000;  // more than the pipe and the queue hold
  {
    LogWriter log(pipe.ends[1], true);
    for (int i = 0; i < kLines; ++i) log.say(LogLevel::info, "line");
  }
  const std::string text = pipe.text();
  EXPECT_GT(text.size(), 0U);
  EXPECT_LT(text.size(), std::size_t{1} << 20U);
}

}  // namespace
}  // namespace stella::server
