#include "server/observe/process_figures.hpp"

#include "base/ascii.hpp"
#include "base/file.hpp"
#include "server/observe/prometheus.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace stella::server {
namespace {

/// Empty where it cannot be read.
std::string text_of(const char* path) {
  try {
    return read_text_file(path);
  } catch (const Error&) {
    return {};
  }
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!(text = trim(text)).empty()) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

std::optional<double> number_at(const std::vector<std::string_view>& words, std::size_t at) {
  const auto number = at < words.size() ? parse_number(words[at]) : std::nullopt;
  if (!number) return std::nullopt;
  return static_cast<double>(*number);
}

std::optional<double> boot_time() {
  const std::string text = text_of("/proc/stat");
  const std::size_t at = text.find("\nbtime ");
  if (at == std::string::npos) return std::nullopt;
  return number_at(words_of(std::string_view(text).substr(at + 1)), 1);
}

void append_cpu(std::string& out) {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return;
  const auto seconds = [](const timeval& time) {
    constexpr double kMicro = 1e-6;
    return static_cast<double>(time.tv_sec) + kMicro * static_cast<double>(time.tv_usec);
  };
  append_metric(out, "process_cpu_seconds_total", "counter", seconds(usage.ru_utime) + seconds(usage.ru_stime));
}

void append_descriptors(std::string& out) {
  try {
    append_metric(out, "process_open_fds", "gauge", static_cast<double>(names_in("/proc/self/fd").size()));
  } catch (const Error&) {
    return;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    append_metric(out, "process_max_fds", "gauge", static_cast<double>(limit.rlim_cur));
}

}  // namespace

void append_process_figures(std::string& out) {
  const auto add = [&out](const char* name, std::optional<double> value, double factor, double offset = 0) {
    if (value) append_metric(out, name, "gauge", offset + factor * *value);
  };
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  const std::string memory = text_of("/proc/self/statm");
  add("process_virtual_memory_bytes", number_at(words_of(memory), 0), page);
  add("process_resident_memory_bytes", number_at(words_of(memory), 1), page);
  append_cpu(out);
  append_descriptors(out);
  // The program's name, in parentheses, may hold spaces.
  const std::string status = text_of("/proc/self/stat");
  const auto words = words_of(std::string_view(status).substr(std::min(status.size(), status.rfind(')') + 1)));
  add("process_threads", number_at(words, 17), 1);
  const auto booted = boot_time();
  if (booted)
    add("process_start_time_seconds", number_at(words, 19), 1 / static_cast<double>(sysconf(_SC_CLK_TCK)), *booted);
}

}  // namespace stella::server
