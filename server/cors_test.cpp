#include "server/cors.hpp"

#include "stella/error.hpp"

#include <gtest/gtest.h>

namespace stella::server {
namespace {

std::string field_of(const Response& response, std::string_view name) {
  const std::string* const found = find_field(response.fields, name);
  return found == nullptr ? "" : *found;
}

Request preflight_from(const std::string& origin) {
  Request request;
  request.method = "OPTIONS";
  request.fields = {{"origin", origin}, {"access-control-request-method", "POST"}};
  return request;
}

Response completed(const Cors& cors, const Fields& fields) {
  Response response;
  cors.complete(fields, response);
  return response;
}

TEST(Cors, NothingWithoutOrigins) {
  const Cors cors({});
  EXPECT_FALSE(cors.preflight(preflight_from("https://a.example"), "POST"));
  EXPECT_TRUE(completed(cors, {{"origin", "https://a.example"}}).fields.empty());
}

TEST(Cors, ItsOriginsOnly) {
  const Cors cors({"https://a.example", "http://localhost:5173"});
  const auto allowed = cors.preflight(preflight_from("http://localhost:5173"), "POST");
  ASSERT_TRUE(allowed);
  EXPECT_EQ(allowed->status, 204);
  EXPECT_EQ(field_of(*allowed, "access-control-allow-methods"), "POST");
  EXPECT_NE(field_of(*allowed, "access-control-allow-headers").find("authorization"), std::string::npos);
  for (const char* other : {"https://b.example", "https://a.example.evil", "http://a.example", "null", ""}) {
    EXPECT_FALSE(cors.preflight(preflight_from(other), "POST")) << other;
    const Response response = completed(cors, {{"origin", other}});
    EXPECT_EQ(field_of(response, "access-control-allow-origin"), "") << other;
    EXPECT_EQ(field_of(response, "vary"), "origin");
  }
  const Response response = completed(cors, {{"origin", "https://a.example"}});
  EXPECT_EQ(field_of(response, "access-control-allow-origin"), "https://a.example");
  EXPECT_EQ(field_of(response, "vary"), "origin");
  EXPECT_NE(field_of(response, "access-control-expose-headers").find("x-request-id"), std::string::npos);
}

TEST(Cors, AllOfThem) {
  const Cors cors({"*"});
  EXPECT_TRUE(cors.preflight(preflight_from("null"), "POST"));
  const Response response = completed(cors, {{"origin", "https://a.example"}});
  EXPECT_EQ(field_of(response, "access-control-allow-origin"), "*");
  EXPECT_EQ(field_of(response, "vary"), "");
  EXPECT_TRUE(completed(cors, {}).fields.empty());
}

TEST(Cors, PreflightsArePaths) {
  const Cors cors({"*"});
  EXPECT_FALSE(cors.preflight(preflight_from("https://a.example"), ""));
  Request plain = preflight_from("https://a.example");
  plain.fields.pop_back();
  EXPECT_FALSE(cors.preflight(plain, "POST"));
}

TEST(Cors, WhatIsNoOrigin) {
  for (const char* wrong : {"", "a.example", "https://", "https://a.example/", "https://*.example", "://a"}) {
    EXPECT_THROW(Cors({wrong}), Error) << wrong;
  }
}

}  // namespace
}  // namespace stella::server
