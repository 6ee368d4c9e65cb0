#include "format/weights.hpp"

#include "base/file.hpp"
#include "base/repo_names.hpp"
#include "base/sha.hpp"

#include <cerrno>
#include <cstddef>
#include <span>
#include <sys/stat.h>
#include <vector>

namespace stella::format {
namespace {

constexpr std::size_t kHashDigits = 16;
constexpr std::size_t kCommitDigits = 12;

void add_samples(Sha256& hash, const std::filesystem::path& directory, const std::string& name) {
  constexpr std::size_t kSamples = 16;
  constexpr std::size_t kBytes = 4096;
  const std::filesystem::path path = directory / name;
  const UniqueFd file = open_regular(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error("read", path, errno);
  const auto size = static_cast<std::size_t>(status.st_size);
  const auto add = [&hash](const std::string& text) { hash.update(std::as_bytes(std::span(text))); };
  add(name + "\n" + std::to_string(size) + "\n");
  std::vector<std::byte> sample(kBytes);
  const std::size_t last = size < kBytes ? 0 : size - kBytes;
  for (std::size_t i = 0; i < kSamples; ++i) {
    const ssize_t got =
        ::pread(file.get(), sample.data(), sample.size(), static_cast<off_t>(last * i / (kSamples - 1)));
    if (got < 0) throw io_error("read", path, errno);
    hash.update(std::span(sample).first(static_cast<std::size_t>(got)));
    if (last == 0) break;
  }
}

}  // namespace

std::string weights_of(const std::string& id, const std::string& commit, const std::filesystem::path& directory) {
  if (is_commit(commit) && is_repo_id(id)) return id + "@" + commit.substr(0, kCommitDigits);
  Sha256 hash;
  for (const std::string& name : names_below(directory)) {
    if (name.ends_with(".json") || name.ends_with(".safetensors")) add_samples(hash, directory, name);
  }
  return "sha256:" + to_hex(hash.digest()).substr(0, kHashDigits);
}

}  // namespace stella::format
