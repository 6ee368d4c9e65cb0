#include "server/observe/prometheus.hpp"

#include <array>
#include <charconv>

namespace stella::server {

std::string prometheus_number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

void append_type(std::string& out, std::string_view name, std::string_view type) {
  out += "# TYPE ";
  out += name;
  out += " ";
  out += type;
  out += "\n";
}

void append_sample(std::string& out, std::string_view name, std::string_view labels, double value) {
  out += name;
  if (!labels.empty()) {
    out += "{";
    out += labels;
    out += "}";
  }
  out += " " + prometheus_number(value) + "\n";
}

void append_metric(std::string& out, std::string_view name, std::string_view type, double value) {
  append_type(out, name, type);
  append_sample(out, name, {}, value);
}

std::string label(std::string_view name, std::string_view value) {
  std::string out(name);
  out += "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace stella::server
