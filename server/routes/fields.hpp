// The fields of a request's body, with errors that name them. A null counts as a field that is not there.
#pragma once

#include "base/json.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stella::server {

[[noreturn]] void refuse_field(std::string_view name, const std::string& wanted);

/// The body as an object; throws ApiError(wrong_shape).
const json::object& object_of(const json::value& body);

const json::value* find_value(const json::object& object, std::string_view name);
/// The same; throws ApiError(wrong_shape) where it is not there.
const json::value& value_of(const json::object& object, std::string_view name);

std::optional<bool> find_bool(const json::object& object, std::string_view name);
std::optional<std::string> find_text(const json::object& object, std::string_view name);
/// A whole number from 0 up to `max`.
std::uint64_t number_of(const json::value& value, std::string_view name, std::uint64_t max);

}  // namespace stella::server
