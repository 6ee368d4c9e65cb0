#include "server/routes/fields.hpp"

#include "server/routes/errors.hpp"

namespace stella::server {

void refuse_field(std::string_view name, const std::string& wanted) {
  throw ApiError(ErrorKind::wrong_shape, "`" + std::string(name) + "` must be " + wanted, std::string(name));
}

const json::object& object_of(const json::value& body) {
  if (!body.is_object()) throw ApiError(ErrorKind::wrong_shape, "the request body must be a JSON object");
  return body.get_object();
}

const json::value* find_value(const json::object& object, std::string_view name) {
  const json::value* found = object.if_contains({name.data(), name.size()});
  return found == nullptr || found->is_null() ? nullptr : found;
}

const json::value& value_of(const json::object& object, std::string_view name) {
  const json::value* found = find_value(object, name);
  if (found == nullptr)
    throw ApiError(ErrorKind::wrong_shape, "missing field `" + std::string(name) + "`", std::string(name));
  return *found;
}

std::optional<bool> find_bool(const json::object& object, std::string_view name) {
  const json::value* found = find_value(object, name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_bool()) refuse_field(name, "true or false");
  return found->get_bool();
}

std::optional<std::string> find_text(const json::object& object, std::string_view name) {
  const json::value* found = find_value(object, name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse_field(name, "a string");
  return std::string(found->get_string().data(), found->get_string().size());
}

std::uint64_t number_of(const json::value& value, std::string_view name, std::uint64_t max) {
  const std::uint64_t* large = value.if_uint64();
  const std::int64_t* number = value.if_int64();
  const bool good = large != nullptr ? *large <= max
                                     : number != nullptr && *number >= 0 && static_cast<std::uint64_t>(*number) <= max;
  if (!good) refuse_field(name, "a whole number from 0 to " + std::to_string(max));
  return large != nullptr ? *large : static_cast<std::uint64_t>(*number);
}

}  // namespace stella::server
