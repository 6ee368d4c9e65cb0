// The limits that can be set, by the names of their flags: on the command line, and in a file that is read again on
// SIGHUP.
#pragma once

#include "server/options.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stella::server {

struct LimitName {
  const char* name;  ///< Of the flag, without its dashes.
  const char* unit;
  const char* description;
};

const std::vector<LimitName>& limit_names();

/// Throws Error(invalid_argument) that lists the names for an unknown one, and for a value that cannot be.
void set_limit(Options& options, std::string_view name, std::size_t value);

/// `name = value`, one a line; empty lines and those that begin with '#' do not count. `file` is for messages. Throws
/// Error(invalid_argument) that names file and line.
void read_limits(Options& options, std::string_view text, const std::string& file);

/// Bytes for all requests where nothing else is asked for: 1 GiB, and at the most a quarter of `usable`, the 80 % of
/// what this process may have (ModelPool::default_memory_limit()) that weights get, so that both together are all of
/// it.
std::size_t default_request_memory(std::uint64_t usable);

/// What has to be said of so many bytes for requests; empty where they can be had.
std::string remark_on_request_memory(std::size_t bytes, std::uint64_t usable);

/// With what is left open filled in; what cannot be kept is said to the log. Throws Error(invalid_argument) for options
/// that contradict each other.
Options completed(Options options);

}  // namespace stella::server
