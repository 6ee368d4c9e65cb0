// Files read and written in order, for what looks after a cache. Blocks on the disk.
#pragma once

#include "base/file.hpp"
#include "hub/cache/file_lock.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <stop_token>
#include <string>

namespace stella::hub {

inline constexpr std::size_t kIoBlock = std::size_t{1} << 20U;

/// Throws Error(cancelled) once stop was requested.
void check_stop(const std::stop_token& stop);

/// Up to buffer.size() bytes from `offset`, fewer only at the file's end. Throws Error(io_error).
std::size_t read_at(const UniqueFd& fd, std::uint64_t offset, std::span<std::byte> buffer,
                    const std::filesystem::path& name);

using BlockSink = std::function<void(std::span<const std::byte>)>;

/// Gives [offset, offset + size) of a file to `sink` in blocks and returns its hash of the kind of `etag`. Throws
/// Error(io_error), Error(cancelled).
std::string hash_range(const UniqueFd& fd, std::uint64_t offset, std::uint64_t size, const std::string& etag,
                       const std::filesystem::path& name, const std::stop_token& stop, const BlockSink& sink);

/// The lock of that name in a folder, waited for.
FileLock wait_for_lock(const Folder& folder, const std::string& name, const std::stop_token& stop);

}  // namespace stella::hub
