#include "cli/stream.hpp"

#include "cli/options.hpp"

#include <charconv>
#include <string_view>
#include <system_error>

namespace stella::cli {
namespace {

/// What the library puts before the message of one text of a batch: "Text at index 7: ".
constexpr std::string_view kPrefix = "Text at index ";

}  // namespace

std::optional<std::size_t> text_at_fault(const Error& error, std::size_t texts) {
  const std::string_view message = error.what();
  if (!message.starts_with(kPrefix)) return std::nullopt;
  std::size_t index = 0;
  const auto [end, code] = std::from_chars(message.data() + kPrefix.size(), message.data() + message.size(), index);
  if (code != std::errc{} || index >= texts) return std::nullopt;
  return index;
}

void refuse_text(const Error& error, const std::string& place) {
  const std::string_view message = error.what();
  const std::size_t colon = message.find(": ");
  throw Failure(exit_status(error),
                place + ": " + std::string(colon == std::string_view::npos ? message : message.substr(colon + 2)));
}

}  // namespace stella::cli
