// The playground: one page without outside resources, put together at build time from the files in this folder.
#pragma once

#include <string_view>

namespace stella::server {

extern const std::string_view kPage;
/// The Content-Security-Policy that allows the page's own script and style, requests to this server, and nothing else.
extern const std::string_view kPagePolicy;

}  // namespace stella::server
