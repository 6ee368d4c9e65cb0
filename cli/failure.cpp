#include "cli/failure.hpp"

#include <system_error>

namespace stella::cli {

std::string with_errno(const std::string& message, int error_number) {
  return message + ": " + std::generic_category().message(error_number);
}

}  // namespace stella::cli
