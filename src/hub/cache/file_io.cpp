#include "hub/cache/file_io.hpp"

#include "hub/cache/hasher.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

namespace stella::hub {

void check_stop(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Error(Errc::cancelled, "stopped before the end");
}

std::size_t read_at(const UniqueFd& fd, std::uint64_t offset, std::span<std::byte> buffer,
                    const std::filesystem::path& name) {
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t count =
        ::pread(fd.get(), buffer.data() + filled, buffer.size() - filled, static_cast<off_t>(offset + filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("read", name, errno);
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return filled;
}

std::string hash_range(const UniqueFd& fd, std::uint64_t offset, std::uint64_t size, const std::string& etag,
                       const std::filesystem::path& name, const std::stop_token& stop, const BlockSink& sink) {
  Hasher hasher(etag, size);
  std::vector<std::byte> buffer(kIoBlock);
  for (std::uint64_t done = 0; done < size;) {
    check_stop(stop);
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size - done, kIoBlock));
    const std::size_t count = read_at(fd, offset + done, std::span(buffer).first(wanted), name);
    if (count == 0) throw io_error("read all of", name, EIO);
    const auto block = std::span<const std::byte>(buffer).first(count);
    hasher.update(block);
    if (sink) sink(block);
    done += count;
  }
  return hasher.digest();
}

FileLock wait_for_lock(const Folder& folder, const std::string& name, const std::stop_token& stop) {
  while (true) {
    if (auto lock = FileLock::try_acquire(folder, name)) return std::move(*lock);
    check_stop(stop);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace stella::hub
