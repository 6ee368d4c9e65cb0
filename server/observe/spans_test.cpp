#include "server/observe/spans.hpp"

#include "server/json/strict.hpp"
#include "stella/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

Span span() {
  Span span;
  span.parent = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  span.context = new_span(span.parent);
  span.name = "POST /embed";
  span.start = 1'795'723'200'000'000'000;
  span.end = 1'795'723'200'000'000'123;
  span.texts = {{"http.route", "/embed"}};
  span.numbers = {{"http.response.status_code", 200}};
  return span;
}

// The shape is that of opentelemetry-proto's examples/trace.json: ids in hexadecimal, 64-bit integers as strings.
TEST(Otlp, Json) {
  const Span one = span();
  EXPECT_EQ(
      otlp_json("stella", "1.2", std::vector<Span>{one}),
      R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"stella"}},)"
      R"({"key":"service.version","value":{"stringValue":"1.2"}}]},"scopeSpans":[{"scope":{"name":"stella.serve"},)"
      R"("spans":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":")" +
          span_id_of(one.context) +
          R"(","parentSpanId":"00f067aa0ba902b7","name":"POST /embed","kind":2,)"
          R"("startTimeUnixNano":"1795723200000000000","endTimeUnixNano":"1795723200000000123","attributes":[)"
          R"({"key":"http.route","value":{"stringValue":"/embed"}},)"
          R"({"key":"http.response.status_code","value":{"intValue":"200"}}],"status":{}}]}]}]})");
}

TEST(Otlp, RootsAndFailures) {
  Span one = span();
  one.parent.reset();
  one.failed = true;
  const json::value body = parse_json(otlp_json("s", "v", std::vector<Span>{one, span()}));
  const json::value& spans = body.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans");
  EXPECT_EQ(spans.as_array().size(), 2U);
  EXPECT_EQ(spans.at(0).as_object().if_contains("parentSpanId"), nullptr);
  EXPECT_EQ(spans.at(0).at("status").at("code").as_int64(), 2);
}

TEST(Otlp, AddressesOfCollectors) {
  EXPECT_EQ(traces_url("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
  EXPECT_EQ(traces_url("https://collector/"), "https://collector/v1/traces");
  EXPECT_EQ(traces_url("http://collector/otlp/v1/traces"), "http://collector/otlp/v1/traces");
  for (const char* wrong : {"", "collector:4318", "http://", "grpc://collector", "file:///etc/passwd"}) {
    EXPECT_THROW(traces_url(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace stella::server
