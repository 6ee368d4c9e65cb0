// Prometheus' text format.
#pragma once

#include <string>
#include <string_view>

namespace stella::server {

/// The shortest text that reads back to the same number.
std::string prometheus_number(double value);

/// `# TYPE name type`
void append_type(std::string& out, std::string_view name, std::string_view type);

/// `name{labels} value`, without braces where there are no labels.
void append_sample(std::string& out, std::string_view name, std::string_view labels, double value);

/// Both, of a metric that has one sample.
void append_metric(std::string& out, std::string_view name, std::string_view type, double value);

/// `name="value"` with what the format wants escaped.
std::string label(std::string_view name, std::string_view value);

}  // namespace stella::server
