#include "cli/failure.hpp"

#include <system_error>

namespace stella::cli {

std::string with_errno(const std::string& message, int error_number) {
  return message + ": " + std::generic_category().message(error_number);
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace stella::cli
