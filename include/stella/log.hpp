// Where the library's remarks go. By default nowhere: the library never prints.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace stella {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// Called with one line without a newline, possibly from several threads at once.
using LogSink = std::function<void(LogLevel, std::string_view)>;

/// Replaces the process's sink; an empty one silences the library. Thread-safe.
void set_log_sink(LogSink sink);

}  // namespace stella
