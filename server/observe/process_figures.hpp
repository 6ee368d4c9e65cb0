// What this process takes of the machine, under the names that Prometheus' own clients use.
#pragma once

#include <string>

namespace stella::server {

/// Appends process_resident_memory_bytes, process_virtual_memory_bytes, process_open_fds, process_max_fds,
/// process_cpu_seconds_total, process_threads and process_start_time_seconds. Reads /proc; a figure that it does not
/// have is left out.
void append_process_figures(std::string& out);

}  // namespace stella::server
