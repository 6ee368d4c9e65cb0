#include "engine/source_identity.hpp"

#include "base/file.hpp"
#include "base/sha.hpp"
#include "base/text.hpp"
#include "stella/error.hpp"
#include "weights/json_limits.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <limits>
#include <span>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxText = std::numeric_limits<std::size_t>::max();

std::string text_of(const timespec& time) {
  return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
}

/// Of blocks that lie evenly over the file, the first and the last among them.
std::string sample_hash(const UniqueFd& file, std::uint64_t size, const fs::path& path) {
  constexpr std::uint64_t kSamples = 64;
  std::array<std::byte, 4096> block{};
  const std::uint64_t last = size > block.size() ? size - block.size() : 0;
  Sha256 hash;
  for (std::uint64_t i = 0; i < kSamples; ++i) {
    const auto at = static_cast<off_t>(last / (kSamples - 1) * i + (i + 1 == kSamples ? last % (kSamples - 1) : 0));
    ssize_t count = -1;
    do {
      count = ::pread(file.get(), block.data(), block.size(), at);
    } while (count < 0 && errno == EINTR);
    if (count < 0) throw io_error("read", path, errno);
    hash.update(std::span(block).first(static_cast<std::size_t>(count)));
  }
  return to_hex(hash.digest()).substr(0, 32);
}

std::string content_of_local(const fs::path& path) {
  const UniqueFd file = open_regular(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error("stat", path, errno);
  return path.string() + ":" + std::to_string(status.st_size) + ":" + std::to_string(status.st_dev) + ":" +
         std::to_string(status.st_ino) + ":" + text_of(status.st_mtim) + ":" + text_of(status.st_ctim) + ":" +
         sample_hash(file, static_cast<std::uint64_t>(status.st_size), path);
}

/// Called after each block that was hashed; throws to give up.
using OnBlock = std::function<void(std::size_t at, std::size_t size)>;

/// What `hash` is of: the bytes for a sha256, else a header of git's before them, or not.
template <class Hash>
std::string hash_of(std::span<const std::byte> bytes, bool git_header, const OnBlock& on_block) {
  constexpr std::size_t kStep = std::size_t{1} << 20U;
  Hash hash;
  if (git_header) {
    const std::string header = "blob " + std::to_string(bytes.size());
    hash.update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
  }
  for (std::size_t at = 0; at < bytes.size(); at += kStep) {
    const std::size_t size = std::min(kStep, bytes.size() - at);
    hash.update(bytes.subspan(at, size));
    on_block(at, size);
  }
  return to_hex(hash.digest());
}

/// Some mirrors name what they serve by a plain sha1; that says as much.
bool has_hash(std::span<const std::byte> bytes, const std::string& hash, const OnBlock& on_block) {
  if (hash.size() == 64) return hash_of<Sha256>(bytes, false, on_block) == hash;
  return hash_of<Sha1>(bytes, true, on_block) == hash || hash_of<Sha1>(bytes, false, on_block) == hash;
}

[[noreturn]] void damaged(const fs::path& path) {
  throw Error(Errc::integrity,
              path.string() +
                  " is damaged: it does not have the hash that names it in the hub's cache; run "
                  "`stella cache verify --repair`, which fetches it again",
              {.file = path.string()});
}

/// Of a blob of the hub's cache its hash; empty for another file. `real` is a path without links.
std::string blob_hash(const fs::path& real) {
  const std::string name = real.filename().string();
  return real.parent_path().filename() == "blobs" && is_blob_name(name) ? name : std::string();
}

struct Stopped {};

}  // namespace

bool is_blob_name(const std::string& text) {
  return (text.size() == 40 || text.size() == 64) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::string source_name(const std::string& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) return model;
  const fs::path real = fs::canonical(model, error);
  return printable_line(error ? model : real.string(), kMaxText);
}

SourceIdentity identify(const std::string& name, const std::vector<fs::path>& files) {
  SourceIdentity identity;
  identity.name = source_name(name);
  for (const fs::path& file : files) {
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (error) throw io_error("find", file, error.value());
    const std::string hash = blob_hash(real);
    identity.hashes.push_back(hash);
    if (!hash.empty()) identity.blobs = real.parent_path();
    identity.content += identity.content.empty() ? "" : "|";
    identity.content += !hash.empty() ? hash : printable_line(content_of_local(real), kMaxText);
  }
  return identity;
}

void check_sound(const fs::path& file, std::span<const std::byte> content) {
  std::error_code error;
  const std::string hash = blob_hash(fs::canonical(file, error));
  if (error || hash.empty()) return;
  if (!has_hash(content, hash, [](std::size_t, std::size_t) {})) damaged(file);
}

std::string read_sound_text(const fs::path& file) {
  std::string text = read_text_file(file, weights::kMaxJsonBytes);
  check_sound(file, std::as_bytes(std::span(text)));
  return text;
}

SourceCheck::SourceCheck(std::shared_ptr<const weights::Tensors> tensors, std::vector<std::string> hashes)
    : tensors_(std::move(tensors)), hashes_(std::move(hashes)) {
  if (std::all_of(hashes_.begin(), hashes_.end(), [](const std::string& hash) { return hash.empty(); })) {
    done_ = true;
    return;
  }
  try {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      run(stop, [&] {
        if (stop.stop_requested()) throw Stopped{};
      });
    });
  } catch (const std::system_error&) {
    // No thread could be had: finish() does it.
  }
}

void SourceCheck::run(const std::stop_token& stop, const std::function<void()>& step) {
  std::exception_ptr failed;
  try {
    for (std::size_t i = 0; i < hashes_.size(); ++i) {
      const MappedFile& file = *tensors_->files()[i];
      const auto on_block = [&](std::size_t at, std::size_t size) {
        file.drop(at, size);
        step();
      };
      if (hashes_[i].empty() || has_hash(file.bytes(), hashes_[i], on_block)) continue;
      damaged(file.path());
    }
  } catch (...) {
    failed = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  if (stop.stop_requested()) return;
  done_ = true;
  failed_ = std::move(failed);
  ended_.notify_all();
}

void SourceCheck::finish(const std::function<void()>& step) {
  constexpr std::chrono::milliseconds kStep{50};
  if (!thread_.joinable() && !done_) run({}, step);
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kStep, [this] { return done_; })) {
    lock.unlock();
    step();
    lock.lock();
  }
  if (failed_) std::rethrow_exception(failed_);
}

}  // namespace stella::engine
