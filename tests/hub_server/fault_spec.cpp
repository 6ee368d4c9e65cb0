#include "hub_server.hpp"

#include <charconv>
#include <functional>
#include <stdexcept>
#include <string_view>

namespace stella::test {
namespace {

using Setter = std::function<void(Fault&, const std::string&)>;

template <typename Number>
Number parse_as(const std::string& text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    throw std::invalid_argument("fault: '" + text + "' is not a number");
  }
  return value;
}

template <typename Number>
Setter number(Number Fault::*member) {
  return [member](Fault& fault, const std::string& text) { fault.*member = parse_as<Number>(text); };
}

Setter text(std::string Fault::*member) {
  return [member](Fault& fault, const std::string& value) { fault.*member = value; };
}

Setter flag(bool Fault::*member) {
  return [member](Fault& fault, const std::string& value) { fault.*member = value.empty() || value == "true"; };
}

Setter milliseconds(std::chrono::milliseconds Fault::*member) {
  return [member](Fault& fault, const std::string& value) {
    fault.*member = std::chrono::milliseconds(parse_as<std::int64_t>(value));
  };
}

void set_port(Fault& fault, const std::string& value) {
  if (value != "hub" && value != "cdn" && value != "any") {
    throw std::invalid_argument("fault: port is hub, cdn or any, not '" + value + "'");
  }
  fault.port = value == "hub" ? Port::hub : value == "cdn" ? Port::cdn : Port::any;
}

void set_times(Fault& fault, const std::string& value) {
  fault.times = value == "always" ? kAlways : parse_as<std::size_t>(value);
}

void set_header(Fault& fault, const std::string& value) {
  const auto colon = value.find(':');
  if (colon == std::string::npos) {
    throw std::invalid_argument("fault: header is Name:value, not '" + value + "'");
  }
  fault.headers[value.substr(0, colon)] = value.substr(colon + 1);
}

const std::map<std::string, Setter, std::less<>>& setters() {
  static const std::map<std::string, Setter, std::less<>> table = {
      {"port", set_port},
      {"method", text(&Fault::method)},
      {"path", text(&Fault::path)},
      {"only_ranges", flag(&Fault::only_ranges)},
      {"skip", number(&Fault::skip)},
      {"times", set_times},
      {"status", number(&Fault::status)},
      {"body", text(&Fault::body)},
      {"header", set_header},
      {"raw", text(&Fault::raw)},
      {"close_at_once", flag(&Fault::close_at_once)},
      {"delay", milliseconds(&Fault::delay)},
      {"ignore_range", flag(&Fault::ignore_range)},
      {"lie_about_range", number(&Fault::lie_about_range)},
      {"shift_body", number(&Fault::shift_body)},
      {"length_delta", number(&Fault::length_delta)},
      {"chunked", flag(&Fault::chunked)},
      {"redirect_to_self", flag(&Fault::redirect_to_self)},
      {"expire_urls", flag(&Fault::expire_urls)},
      {"cut_at", number(&Fault::cut_at)},
      {"reset", flag(&Fault::reset)},
      {"stall_at", number(&Fault::stall_at)},
      {"flip_at", number(&Fault::flip_at)},
      {"drip_bytes", number(&Fault::drip_bytes)},
      {"drip_every", milliseconds(&Fault::drip_every)},
      {"rate", number(&Fault::rate)},
      {"gate", text(&Fault::gate)},
      {"gate_at", number(&Fault::gate_at)},
      {"gate_step", number(&Fault::gate_step)},
  };
  return table;
}

}  // namespace

Fault parse_fault(const std::string& spec) {
  Fault fault;
  std::string_view rest = spec;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view field = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    const auto equals = field.find('=');
    const auto known = setters().find(field.substr(0, equals));
    if (known == setters().end()) {
      throw std::invalid_argument("fault: there is no '" + std::string(field.substr(0, equals)) + "'");
    }
    known->second(fault, equals == std::string_view::npos ? std::string() : std::string(field.substr(equals + 1)));
  }
  return fault;
}

}  // namespace stella::test
