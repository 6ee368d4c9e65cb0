// The machine-readable description of the routes (server/openapi.json), and a page that shows it (server/docs.html).
#pragma once

#include <string_view>

namespace stella::server {

extern const std::string_view kOpenApi;
extern const std::string_view kDocsPage;

}  // namespace stella::server
