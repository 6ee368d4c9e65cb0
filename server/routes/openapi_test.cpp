// The document is held to the routes: what the router has it describes, and the other way round.
#include "server/routes/openapi.hpp"

#include "server/json/strict.hpp"
#include "server/routes/router.hpp"

#include <algorithm>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

const json::value& document() {
  static const json::value kDocument = parse_json(kOpenApi);
  return kDocument;
}

std::string documented_path(const RouteEntry& entry) {
  return std::string(entry.path) + (entry.route == Route::model ? "{id}" : "");
}

std::string documented_method(const RouteEntry& entry) {
  return entry.method == "GET" ? "get" : "post";
}

const json::object& operation_of(const RouteEntry& entry) {
  return document().at("paths").at(documented_path(entry)).at(documented_method(entry)).as_object();
}

/// Statuses that a route can answer with, from what can go wrong on the way to it.
std::set<std::string> statuses_of(const RouteEntry& entry) {
  std::set<std::string> statuses{"400", "408", "413", "429", "431", "501"};  // header and body, whatever the route
  const auto add = [&](ErrorKind kind) {
    statuses.insert(std::to_string(error_response(ApiError(kind, ""), entry.family).status));
  };
  add(ErrorKind::expectation);
  add(ErrorKind::too_large);
  if (!entry.open) add(ErrorKind::unauthorized);
  if (!entry.open || entry.route == Route::health) add(ErrorKind::unhealthy);
  const bool never =
      entry.route == Route::rerank || entry.route == Route::predict || entry.route == Route::embed_sparse;
  if (!never) statuses.insert("200");
  if (entry.route == Route::model || entry.route == Route::info) add(ErrorKind::model_not_found);
  if (entry.route == Route::info) {  // of a model that is loaded for it
    for (const ErrorKind kind : {ErrorKind::backend, ErrorKind::validation, ErrorKind::timed_out}) add(kind);
  }
  if (entry.method != "POST") return statuses;
  add(ErrorKind::backend);
  add(ErrorKind::media_type);
  if (never) return statuses;
  for (const ErrorKind kind :
       {ErrorKind::model_not_found, ErrorKind::bad_json, ErrorKind::wrong_shape, ErrorKind::validation,
        ErrorKind::empty, ErrorKind::tokenizer, ErrorKind::overloaded, ErrorKind::timed_out}) {
    add(kind);
  }
  return statuses;
}

/// Every reference of the document leads somewhere.
void check_references(const json::value& value) {
  if (const json::array* array = value.if_array()) {
    for (const json::value& one : *array) check_references(one);
  } else if (const json::object* object = value.if_object()) {
    for (const auto& [name, one] : *object) {
      if (name != "$ref") {
        check_references(one);
        continue;
      }
      json::error_code error;
      EXPECT_NE(document().find_pointer(std::string_view(one.as_string()).substr(1), error), nullptr)
          << one.as_string();
    }
  }
}

TEST(OpenApi, HasEveryRouteAndNoOther) {
  std::set<std::string> served;
  for (const RouteEntry& entry : all_routes()) served.insert(documented_method(entry) + " " + documented_path(entry));
  std::set<std::string> documented;
  for (const auto& [path, methods] : document().at("paths").as_object()) {
    for (const auto& [method, operation] : methods.as_object()) {
      documented.insert(std::string(method) + " " + std::string(path));
    }
  }
  EXPECT_EQ(documented, served);
}

TEST(OpenApi, HasEveryStatusAndNoOther) {
  for (const RouteEntry& entry : all_routes()) {
    std::set<std::string> documented;
    for (const auto& [status, response] : operation_of(entry).at("responses").as_object()) {
      documented.insert(std::string(status));
    }
    EXPECT_EQ(documented, statuses_of(entry)) << documented_path(entry);
  }
}

TEST(OpenApi, SaysWhatNeedsNoKey) {
  for (const RouteEntry& entry : all_routes()) {
    const json::value* security = operation_of(entry).if_contains("security");
    EXPECT_EQ(security != nullptr && security->as_array().empty(), entry.open) << documented_path(entry);
  }
}

TEST(OpenApi, OperationsHaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const RouteEntry& entry : all_routes()) names.emplace(operation_of(entry).at("operationId").as_string());
  EXPECT_EQ(names.size(), all_routes().size());
}

TEST(OpenApi, ReferencesLeadSomewhere) {
  check_references(document());
}

TEST(OpenApi, ThePageNeedsNothingFromElsewhere) {
  EXPECT_THAT(std::string(kDocsPage), testing::HasSubstr("/api-doc/openapi.json"));
  EXPECT_EQ(kDocsPage.find("://"), std::string_view::npos);
  EXPECT_EQ(kDocsPage.find("src="), std::string_view::npos);
}

}  // namespace
}  // namespace stella::server
