// Passes remarks to the program's sink (include/stella/log.hpp).
#pragma once

#include "stella/log.hpp"

#include <string_view>

namespace stella {

/// Calls the sink if there is one. Thread-safe.
void log(LogLevel level, std::string_view line);

}  // namespace stella
