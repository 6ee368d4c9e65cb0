// stella.h: versions, errors, the log, cancellation.
#include "api/c_boundary.hpp"

#include "api/c_handles.hpp"
#include "stella/log.hpp"

#include <array>
#include <new>
#include <string_view>
#include <utility>

namespace stella::c_api {
namespace {

constexpr std::array kNames{"ok",
                            "invalid_argument",
                            "unsupported_dimension",
                            "empty_text",
                            "empty_batch",
                            "batch_too_large",
                            "text_too_large",
                            "text_too_long",
                            "invalid_utf8",
                            "already_registered",
                            "malformed_file",
                            "missing_tensor",
                            "unsupported_model",
                            "io_error",
                            "out_of_memory",
                            "unsupported_processor",
                            "cancelled",
                            "shut_down",
                            "repository_not_found",
                            "gated_repo",
                            "revision_not_found",
                            "entry_not_found",
                            "local_entry_not_found",
                            "http_error",
                            "file_metadata",
                            "hub_unreachable",
                            "offline",
                            "integrity",
                            "resource_limit",
                            "limit_exceeded",
                            "overloaded",
                            "deadline_exceeded",
                            "unavailable"};

constexpr bool is(Errc errc, stella_status code) {
  return static_cast<stella_status>(errc) == code;
}
static_assert(
    is(Errc::invalid_argument, STELLA_ERROR_INVALID_ARGUMENT) &&
    is(Errc::unsupported_dimension, STELLA_ERROR_UNSUPPORTED_DIMENSION) &&
    is(Errc::empty_text, STELLA_ERROR_EMPTY_TEXT) && is(Errc::empty_batch, STELLA_ERROR_EMPTY_BATCH) &&
    is(Errc::batch_too_large, STELLA_ERROR_BATCH_TOO_LARGE) && is(Errc::text_too_large, STELLA_ERROR_TEXT_TOO_LARGE) &&
    is(Errc::text_too_long, STELLA_ERROR_TEXT_TOO_LONG) && is(Errc::invalid_utf8, STELLA_ERROR_INVALID_UTF8) &&
    is(Errc::already_registered, STELLA_ERROR_ALREADY_REGISTERED) &&
    is(Errc::malformed_file, STELLA_ERROR_MALFORMED_FILE) && is(Errc::missing_tensor, STELLA_ERROR_MISSING_TENSOR) &&
    is(Errc::unsupported_model, STELLA_ERROR_UNSUPPORTED_MODEL) && is(Errc::io_error, STELLA_ERROR_IO) &&
    is(Errc::out_of_memory, STELLA_ERROR_OUT_OF_MEMORY) &&
    is(Errc::unsupported_processor, STELLA_ERROR_UNSUPPORTED_PROCESSOR) &&
    is(Errc::cancelled, STELLA_ERROR_CANCELLED) && is(Errc::shut_down, STELLA_ERROR_SHUT_DOWN) &&
    is(Errc::repository_not_found, STELLA_ERROR_REPOSITORY_NOT_FOUND) &&
    is(Errc::gated_repo, STELLA_ERROR_GATED_REPO) && is(Errc::revision_not_found, STELLA_ERROR_REVISION_NOT_FOUND) &&
    is(Errc::entry_not_found, STELLA_ERROR_ENTRY_NOT_FOUND) &&
    is(Errc::local_entry_not_found, STELLA_ERROR_LOCAL_ENTRY_NOT_FOUND) && is(Errc::http_error, STELLA_ERROR_HTTP) &&
    is(Errc::file_metadata, STELLA_ERROR_FILE_METADATA) && is(Errc::hub_unreachable, STELLA_ERROR_HUB_UNREACHABLE) &&
    is(Errc::offline, STELLA_ERROR_OFFLINE) && is(Errc::integrity, STELLA_ERROR_INTEGRITY) &&
    is(Errc::resource_limit, STELLA_ERROR_RESOURCE_LIMIT) && is(Errc::limit_exceeded, STELLA_ERROR_LIMIT_EXCEEDED) &&
    is(Errc::overloaded, STELLA_ERROR_OVERLOADED) && is(Errc::deadline_exceeded, STELLA_ERROR_DEADLINE_EXCEEDED) &&
    is(Errc::unavailable, STELLA_ERROR_UNAVAILABLE));
static_assert(kNames.size() == STELLA_ERROR_UNAVAILABLE + 1);

/// What fits no memory is short enough for a string to hold in itself.
stella_error* no_memory() noexcept {
  static stella_error error{STELLA_ERROR_OUT_OF_MEMORY, "out of memory", {}, {}};
  return &error;
}

}  // namespace

stella_error* new_error(const std::exception_ptr& exception) noexcept {
  try {
    try {
      std::rethrow_exception(exception);
    } catch (const Error& error) {
      const int status = error.context().http_status;
      return new stella_error{static_cast<stella_status>(error.errc()), error.what(), error.context(),
                              status == 0 ? std::string() : std::to_string(status)};
    } catch (const std::bad_alloc&) {
      return no_memory();
    } catch (const std::exception& error) {
      return new stella_error{STELLA_ERROR_UNKNOWN, std::string("a defect of the library: ") + error.what(), {}, {}};
    }
  } catch (const std::bad_alloc&) {
    return no_memory();
  } catch (...) {
    return no_memory();  // nothing else is thrown by what makes an error
  }
}

void refuse(const std::string& what) {
  throw Error(Errc::invalid_argument, what);
}

bool to_bool(std::uint64_t value, const char* argument) {
  if (value > 1) refuse(std::string(argument) + " is " + std::to_string(value) + "; it takes 0 or 1");
  return value == 1;
}

}  // namespace stella::c_api

using stella::c_api::cleared;
using stella::c_api::guarded;

uint32_t stella_abi_version() {
  return STELLA_ABI_VERSION;
}

const char* stella_version() {
  return STELLA_VERSION;
}

stella_status stella_error_code(const stella_error* error) {
  return error == nullptr ? stella_status{STELLA_OK} : error->code;
}

const char* stella_error_message(const stella_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}

const char* stella_error_detail(const stella_error* error, int32_t detail) {
  if (error == nullptr) return "";
  switch (detail) {
    case STELLA_DETAIL_FILE:
      return error->context.file.c_str();
    case STELLA_DETAIL_TENSOR:
      return error->context.tensor.c_str();
    case STELLA_DETAIL_URL:
      return error->context.url.c_str();
    case STELLA_DETAIL_REQUEST_ID:
      return error->context.request_id.c_str();
    case STELLA_DETAIL_CAUSE:
      return error->context.cause.c_str();
    case STELLA_DETAIL_HTTP_STATUS:
      return error->http_status.c_str();
    default:
      return "";
  }
}

const char* stella_status_name(stella_status status) {
  const auto& names = stella::c_api::kNames;
  return status >= 0 && static_cast<std::size_t>(status) < names.size() ? names[static_cast<std::size_t>(status)]
                                                                        : "unknown";
}

void stella_error_free(stella_error* error) {
  if (error != stella::c_api::no_memory()) delete error;
}

stella_status stella_set_log(stella_log_callback callback, void* user, int32_t level, stella_error** error) {
  return guarded(error, [&] {
    if (level < STELLA_LOG_DEBUG || level > STELLA_LOG_ERROR) {
      stella::c_api::refuse("level is " + std::to_string(level) + "; it takes 0 (debug) to 3 (error)");
    }
    if (callback == nullptr) return stella::set_log_sink({});
    stella::set_log_sink([=](stella::LogLevel of, std::string_view line) {
      if (static_cast<int32_t>(of) >= level) callback(user, static_cast<int32_t>(of), std::string(line).c_str());
    });
  });
}

stella_status stella_cancel_new(stella_cancel** cancel, stella_error** error) {
  return guarded(error, [&] {
    stella_cancel*& result =
        cleared(cancel, "cancel");  // first: what is assigned is made before what it is assigned to
    result = new stella_cancel;
  });
}

void stella_cancel_request(stella_cancel* cancel) {
  if (cancel != nullptr) cancel->source.request_stop();
}

void stella_cancel_free(stella_cancel* cancel) {
  delete cancel;
}
