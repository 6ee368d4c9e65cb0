// On which terms a request is computed, besides what it asks for: how soon, before or behind others.
#pragma once

#include "server/cost.hpp"
#include "server/http/message.hpp"

#include <chrono>
#include <optional>

namespace stella::server {

/// The sooner of x-timeout-ms and the server's own limit. Throws ApiError.
std::optional<std::chrono::steady_clock::time_point> deadline_of(const Request& request,
                                                                 std::optional<std::chrono::milliseconds> most,
                                                                 std::chrono::steady_clock::time_point start);

/// x-priority, else by the cost. Throws ApiError.
Priority priority_of(const Request& request, const Cost& cost);

}  // namespace stella::server
