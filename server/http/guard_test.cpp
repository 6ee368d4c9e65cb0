#include "server/http/guard.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stella::server {
namespace {

/// 0 where the header passes.
unsigned status_of(const std::string& head) {
  const auto refusal = check_head(head);
  return refusal ? refusal->status : 0;
}

std::string post(const std::string& fields, const std::string& version = "HTTP/1.1") {
  return "POST /embed " + version + "\r\n" + fields + "\r\n";
}

TEST(Guard, PassesWhatClientsSend) {
  EXPECT_EQ(status_of(post("Host: localhost:3000\r\nContent-Length: 12\r\n")), 0);
  EXPECT_EQ(status_of(post("host: [::1]:3000\r\ntransfer-encoding: Chunked\r\nX-A:\r\nX-B: a\tb\xc3\xa9 \r\n")), 0);
  EXPECT_EQ(status_of("GET http://example.org/health?x=1 HTTP/1.1\r\nHost: example.org\r\n\r\n"), 0);
  EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 0);
  EXPECT_EQ(status_of(post("Host: a\r\nX-Long: " + std::string(8000, 'x') + "\r\n")), 0);
}

TEST(Guard, RefusesAmbiguousLengths) {
  const std::vector<std::string> wrong{"Content-Length: 1\r\nContent-Length: 1\r\n",
                                       "Content-Length: 1\r\nContent-Length: 2\r\n",
                                       "Content-Length: 1, 1\r\n",
                                       "Content-Length: 1,\r\n",
                                       "Content-Length: +1\r\n",
                                       "Content-Length: -1\r\n",
                                       "Content-Length: 0x1\r\n",
                                       "Content-Length:\r\n",
                                       "Content-Length: 1 1\r\n",
                                       "Content-Length: 1.0\r\n",
                                       "Content-Length: 1;a\r\n",
                                       "Content-Length: 18446744073709551617\r\n",
                                       "Content-Length: \"1\"\r\n",
                                       "Content-Length : 1\r\n",
                                       "Content-Length: \xef\xbc\x91\r\n"};
  for (const std::string& fields : wrong) EXPECT_EQ(status_of(post("Host: a\r\n" + fields)), 400) << fields;
}

TEST(Guard, RefusesAnyCodingButOneChunked) {
  const std::vector<std::string> malformed{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                                           "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
                                           "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                                           "Transfer-Encoding: chunked, chunked\r\n",
                                           "Transfer-Encoding: chunked,\r\n",
                                           "Transfer-Encoding: ,chunked\r\n",
                                           "Transfer-Encoding: chunked, identity\r\n",
                                           "Transfer-Encoding:\r\n",
                                           "Transfer-Encoding: \"chunked\"\r\n",
                                           "Transfer-Encoding: chunked;q=1\r\n",
                                           "Transfer-Encoding : chunked\r\n",
                                           " Transfer-Encoding: chunked\r\n",
                                           "X: y\r\n\tTransfer-Encoding: chunked\r\n",
                                           "Transfer-Encoding:\x0b"
                                           "chunked\r\n",
                                           "Transfer-Encoding: chunked\x0b\r\n",
                                           "Transfer-Encoding:\r\n chunked\r\n"};
  for (const std::string& fields : malformed) EXPECT_EQ(status_of(post("Host: a\r\n" + fields)), 400) << fields;
  for (const std::string coding : {"gzip", "identity", "xchunked", "gzip, chunked", "cow", "chunke"}) {
    EXPECT_EQ(status_of(post("Host: a\r\nTransfer-Encoding: " + coding + "\r\n")), 501) << coding;
  }
  EXPECT_EQ(status_of(post("Host: a\r\nTransfer-Encoding: chunked\r\n", "HTTP/1.0")), 400);
}

TEST(Guard, WantsOneHost) {
  EXPECT_EQ(status_of(post("")), 400);
  EXPECT_EQ(status_of(post("Host: a\r\nHost: a\r\n")), 400);
  EXPECT_EQ(status_of(post("Host: a\r\nhost: b\r\n", "HTTP/1.0")), 400);
  for (const std::string host : {"a b", "a,b", "a/b", "a@b", "a?b"}) {
    EXPECT_EQ(status_of(post("Host: " + host + "\r\n")), 400) << host;
  }
}

TEST(Guard, RefusesLinesThatTwoProgramsReadDifferently) {
  const std::vector<std::string> heads{"GET / HTTP/1.1\nHost: a\n\n",
                                       "GET / HTTP/1.1\r\nHost: a\n\r\n",
                                       "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
                                       "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
                                       "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
                                       "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
                                       "GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n",
                                       "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                                       "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
                                       "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
                                       "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
                                       "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
                                       "GET / http/1.1\r\nHost: a\r\n\r\n",
                                       "GET /\r\n\r\n",
                                       "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
                                       "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
                                       " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                       "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
                                       std::string("GET / HTTP/1.1\r\nHost: a\r\nX: ") + '\0' + "\r\n\r\n"};
  for (const std::string& head : heads) EXPECT_EQ(status_of(head), 400) << head;
}

TEST(Guard, CountsFields) {
  std::string fields = "Host: a\r\n";
  for (std::size_t i = 1; i < kMaxFields; ++i) fields += "X: y\r\n";
  EXPECT_EQ(status_of(post(fields)), 0);
  EXPECT_EQ(status_of(post(fields + "X: y\r\n")), 431);
}

TEST(Guard, APartOfAProperHeaderIsNoReasonToRefuse) {
  const std::string head = post("Host: a\r\nContent-Length: 3\r\n");
  for (std::size_t size = 0; size <= head.size(); ++size) {
    const std::string_view part = std::string_view(head).substr(0, size);
    for (std::size_t from = 0; from <= size; ++from)
      EXPECT_FALSE(check_partial_head(part, from)) << size << " " << from;
  }
  EXPECT_TRUE(check_partial_head("GET / HTTP/1.1\nHo"));
  EXPECT_TRUE(check_partial_head("\x16\x03\x01"));
}

TEST(Guard, ChunkExtensions) {
  for (const std::string good : {"", ";a", ";a=b", " ;a=\"b c\"", ";a=b;c"})
    EXPECT_FALSE(check_chunk_extension(good)) << good;
  for (const std::string bad : {" ", "a", ";a\n", ";a\rb", ";\x01", "\n;a", "\x0b;a", ";a\x7f"}) {
    EXPECT_TRUE(check_chunk_extension(bad)) << bad;
  }
}

}  // namespace
}  // namespace stella::server
