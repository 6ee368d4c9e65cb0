// Errors: one category, one exception type, with what a caller needs to act on.
#pragma once

#include <string>
#include <system_error>

namespace stella {

/// What went wrong. Values are stable; the command line maps them to exit statuses.
enum class Errc {
  // Wrong input.
  invalid_argument = 1,
  unsupported_dimension,  ///< The model has no trained head of that size; the message lists those it has.
  empty_text,
  empty_batch,
  batch_too_large,
  text_too_large,  ///< More bytes than validate_input() allows.
  text_too_long,   ///< More tokens than the maximum length, with OnLong::error.
  invalid_utf8,
  already_registered,
  // Files of a checkpoint.
  malformed_file,  ///< Broken JSON, lying or truncated safetensors, wrong shape.
  missing_tensor,
  unsupported_model,  ///< A model_type, activation or tokenizer component that is not implemented; the message names
                      ///< it.
  // Machine.
  io_error,
  out_of_memory,
  unsupported_processor,  ///< A forced kernel set or precision that this processor cannot run.
  cancelled,
  shut_down,  ///< The Runtime is stopping.
  // Hub (spec: the hub's X-Error-Code header; names follow Python's huggingface_hub.errors).
  repository_not_found,
  gated_repo,
  revision_not_found,
  entry_not_found,
  local_entry_not_found,  ///< Not in the cache, and the hub could not be asked; context().cause says why.
  http_error,
  file_metadata,  ///< The hub's answer lacks the commit or the etag, or they are malformed.
  hub_unreachable,
  offline,
  integrity,  ///< Bytes do not have the hash or the size that the hub announced for them.
  // Machine and files, added later.
  resource_limit,     ///< A thread, a descriptor or another resource of the system could not be had.
  limit_exceeded,     ///< A file, a header or a text goes beyond a fixed limit, which the message names.
  overloaded,         ///< More waits than may (RuntimeOptions::max_queued_texts, max_queued_tokens); try again later.
  deadline_exceeded,  ///< EmbedOptions::deadline.
  unavailable,        ///< The model has failed several times in a row: a ModelPool lets it rest for a while.
};

/// The category "stella" of every Errc.
const std::error_category& error_category() noexcept;
std::error_code make_error_code(Errc code) noexcept;

/// Whether `code` comes from the hub (command line: exit status 3).
bool is_hub_error(Errc code) noexcept;
/// Whether `code` is the caller's input or usage (command line: exit status 2).
bool is_input_error(Errc code) noexcept;

/// Where it went wrong. Fields that do not apply are empty. Never holds a token or another secret.
struct ErrorContext {
  std::string file{};        ///< Path or hub file name.
  std::string tensor{};      ///< Tensor name inside `file`.
  std::string url{};         ///< Without user info and without query string.
  int http_status = 0;       ///< 0 where no HTTP answer was received.
  std::string request_id{};  ///< The hub's X-Request-Id (or X-Amz-Cf-Id), for a report to its operators.
  std::string cause{};       ///< For local_entry_not_found: the failure that kept the hub from being asked.
};

/// Every exception this library throws on purpose. what() is one line of at most 4 KiB: what was wrong, with what, and
/// what to do. Characters that a terminal would obey, from the name of a file for example, are escaped in it; the
/// context has them as they are.
class Error : public std::system_error {
 public:
  Error(Errc code, const std::string& message, ErrorContext context = {});

  Errc errc() const noexcept { return errc_; }
  const ErrorContext& context() const noexcept { return context_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Errc errc_;
  std::string message_;
  ErrorContext context_;
};

}  // namespace stella

template <>
struct std::is_error_code_enum<stella::Errc> : std::true_type {};
