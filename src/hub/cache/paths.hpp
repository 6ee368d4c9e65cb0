// The cache's layout as pure functions: names in, paths out, no disk. The layout is huggingface_hub's.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace stella::hub {

/// Whether `target`, the text of a symbolic link at blobs/<etag>, points into huggingface_hub's shared store
/// (../../blobs/<2 hex>/<64 hex>). Links to anywhere else are not ours and are not trusted.
bool is_shared_store_link(std::string_view target) noexcept;

/// Where everything of one repository lies. Arguments are names that passed the checks above.
class RepoPaths {
 public:
  RepoPaths(std::filesystem::path cache_dir, const std::string& repo);

  const std::filesystem::path& cache_dir() const noexcept { return cache_dir_; }
  const std::filesystem::path& folder() const noexcept { return folder_; }
  std::filesystem::path blobs() const { return folder_ / "blobs"; }
  std::filesystem::path blob(const std::string& etag) const;
  /// The unfinished body. Not plain "<etag>.incomplete": older Python clients append to a file of that name and take
  /// its size for what was received, and ours has its full size from the start. "hf cache prune" removes both.
  std::filesystem::path partial(const std::string& etag) const;
  /// Which ranges of partial() hold data.
  std::filesystem::path partial_record(const std::string& etag) const;
  std::filesystem::path lock(const std::string& etag) const;
  std::filesystem::path ref(const std::string& revision) const;
  std::filesystem::path snapshot(const std::string& commit) const;
  std::filesystem::path pointer(const std::string& commit, const std::string& file) const;
  std::filesystem::path no_exist(const std::string& commit, const std::string& file) const;
  std::filesystem::path cachedir_tag() const;

  /// Text of the link at pointer(): ../../blobs/<etag>, with one more ../ for each folder in `file`.
  static std::string link_target(const std::string& file, const std::string& etag);

 private:
  std::filesystem::path cache_dir_;
  std::string folder_name_;  // models--org--name
  std::filesystem::path folder_;
};

}  // namespace stella::hub
