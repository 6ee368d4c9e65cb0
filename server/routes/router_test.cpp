#include "server/routes/router.hpp"

#include "server/http/message.hpp"

#include <gtest/gtest.h>

namespace stella::server {
namespace {

TEST(Router, FindsRoutes) {
  EXPECT_EQ(find_route("POST", "/v1/embeddings").entry->route, Route::embeddings);
  EXPECT_EQ(find_route("GET", "/v1/models/org/model").entry->route, Route::model);
  EXPECT_EQ(find_route("POST", "/").entry->route, Route::root);
  EXPECT_EQ(find_route("GET", "/").entry->route, Route::page);
  EXPECT_TRUE(find_route("GET", "/").entry->open);
  EXPECT_FALSE(find_route("POST", "/").entry->open);
  EXPECT_EQ(find_route("HEAD", "/health").entry->route, Route::health);
  EXPECT_TRUE(find_route("GET", "/metrics").entry->open);
  EXPECT_FALSE(find_route("GET", "/info").entry->open);
}

TEST(Router, SaysWhatAPathHas) {
  EXPECT_EQ(find_route("GET", "/embed").entry, nullptr);
  EXPECT_EQ(find_route("GET", "/embed").allow, "POST");
  EXPECT_EQ(find_route("DELETE", "/v1/models/a").allow, "GET, HEAD");
  EXPECT_EQ(find_route("PUT", "/").allow, "GET, HEAD, POST");
  EXPECT_EQ(find_route("POST", "/nothing").entry, nullptr);
  EXPECT_EQ(find_route("POST", "/nothing").allow, "");
  EXPECT_EQ(find_route("POST", "/embed/").allow, "");
  EXPECT_EQ(find_route("GET", "/v1/models/").allow, "");
  EXPECT_EQ(find_route("POST", "/v1/chat/completions").family, Family::openai);
  EXPECT_EQ(find_route("POST", "/api/generate").family, Family::ollama);
  EXPECT_EQ(find_route("POST", "/v2/rerank").family, Family::cohere);
}

TEST(Message, PathsOfTargets) {
  EXPECT_EQ(path_of("/embed?x=1#y"), "/embed");
  EXPECT_EQ(path_of("http://host:1/embed"), "/embed");
  EXPECT_EQ(path_of("http://host"), "/");
  EXPECT_EQ(path_of("*"), "*");
}

TEST(Message, RequestIds) {
  EXPECT_EQ(request_id_of({{"x-request-id", "abc 1"}}), "abc 1");
  EXPECT_EQ(request_id_of({{"x-request-id", std::string(128, 'x')}}), std::string(128, 'x'));
  for (const std::string& wrong :
       {std::string(129, 'x'), std::string(), std::string("a\tb"), std::string("\xc3\xa9")}) {
    EXPECT_NE(request_id_of({{"x-request-id", wrong}}), wrong);
  }
  EXPECT_EQ(request_id_of({}).size(), 16);
  EXPECT_NE(request_id_of({}), request_id_of({}));
}

TEST(Message, Heads) {
  Response response;
  response.status = 404;
  response.body = "{}";
  response.fields.push_back({"allow", "GET"});
  HeadOptions options;
  options.keep_alive = false;
  options.request_id = "id";
  options.date = "now";
  EXPECT_EQ(head_of(response, options),
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: "
            "close\r\ndate: now\r\n"
            "x-request-id: id\r\nallow: GET\r\n\r\n");
}

}  // namespace
}  // namespace stella::server
