#include "base/text.hpp"

#include "base/utf8.hpp"

#include <array>
#include <cstdio>

namespace stella {
namespace {

constexpr std::string_view kEllipsis = "\u2026";

void append_escape(std::string& out, char32_t c) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), c < 0x100 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(c));
  out += text.data();
}

/// Appends the character at the start of `text`, made printable, and returns how many bytes it took.
std::size_t append_printable(std::string& out, std::string_view text) {
  const std::size_t length = utf8::sequence_length(text.data(), text.data() + text.size());
  if (length == 0) {
    append_escape(out, static_cast<unsigned char>(text.front()));
    return 1;
  }
  const char32_t c = utf8::decode(text.data()).value;
  if (is_obeyed(c)) {
    append_escape(out, c);
  } else {
    out.append(text.substr(0, length));
  }
  return length;
}

}  // namespace

bool is_obeyed(char32_t c) noexcept {
  const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c <= 0x9f);
  const bool separator = c == 0x2028 || c == 0x2029;
  const bool direction = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
  return control || separator || direction;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) text.remove_prefix(append_printable(out, text));
  return out;
}

std::string printable_line(std::string_view text, std::size_t max_bytes) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
  std::string out;
  std::size_t room_for_ellipsis = 0;  // where the last character ends that leaves room for it
  while (!text.empty()) {
    if (out.size() + kEllipsis.size() <= max_bytes) room_for_ellipsis = out.size();
    const bool space = text.front() == '\n' || text.front() == '\t' || text.front() == '\r';
    if (space) out += ' ';
    text.remove_prefix(space ? 1 : append_printable(out, text));
    if (out.size() > max_bytes) {
      out.resize(room_for_ellipsis);
      return out.append(kEllipsis);
    }
  }
  return out;
}

}  // namespace stella
