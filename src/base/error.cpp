#include "stella/error.hpp"

#include "base/immortal.hpp"
#include "base/text.hpp"

#include <utility>

namespace stella {
namespace {

const char* describe(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid argument";
    case Errc::unsupported_dimension:
      return "unsupported dimension";
    case Errc::empty_text:
      return "empty text";
    case Errc::empty_batch:
      return "empty batch";
    case Errc::batch_too_large:
      return "too many texts in one batch";
    case Errc::text_too_large:
      return "text too large";
    case Errc::text_too_long:
      return "text has too many tokens";
    case Errc::invalid_utf8:
      return "text is not valid UTF-8";
    case Errc::already_registered:
      return "model already registered";
    case Errc::malformed_file:
      return "malformed file";
    case Errc::missing_tensor:
      return "missing tensor";
    case Errc::unsupported_model:
      return "unsupported model";
    case Errc::io_error:
      return "input/output error";
    case Errc::out_of_memory:
      return "out of memory";
    case Errc::unsupported_processor:
      return "unsupported by this processor";
    case Errc::cancelled:
      return "cancelled";
    case Errc::shut_down:
      return "runtime is shutting down";
    case Errc::repository_not_found:
      return "repository not found";
    case Errc::gated_repo:
      return "repository is gated";
    case Errc::revision_not_found:
      return "revision not found";
    case Errc::entry_not_found:
      return "entry not found in repository";
    case Errc::local_entry_not_found:
      return "file not in the local cache";
    case Errc::http_error:
      return "HTTP error";
    case Errc::file_metadata:
      return "incomplete file metadata from the hub";
    case Errc::hub_unreachable:
      return "hub unreachable";
    case Errc::offline:
      return "offline mode";
    case Errc::integrity:
      return "integrity check failed";
    case Errc::resource_limit:
      return "out of threads, descriptors or another resource of the system";
    case Errc::limit_exceeded:
      return "beyond a fixed limit";
    case Errc::overloaded:
      return "too much is waiting";
    case Errc::deadline_exceeded:
      return "deadline exceeded";
    case Errc::unavailable:
      return "model unavailable for now";
  }
  return "unknown error";
}

class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "stella"; }
  std::string message(int code) const override { return describe(static_cast<Errc>(code)); }
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const Immortal<Category> category;
  return *category;
}

std::error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), error_category()};
}

bool is_hub_error(Errc code) noexcept {
  return code >= Errc::repository_not_found && code <= Errc::integrity;
}

bool is_input_error(Errc code) noexcept {
  return code >= Errc::invalid_argument && code <= Errc::already_registered;
}

Error::Error(Errc code, const std::string& message, ErrorContext context)
    : std::system_error(make_error_code(code)),
      errc_(code),
      message_(printable_line(message)),
      context_(std::move(context)) {}

}  // namespace stella
