#include "hub/cache/paths.hpp"

#include "base/ascii.hpp"

#include <utility>

namespace stella::hub {
bool is_shared_store_link(std::string_view target) noexcept {
  constexpr std::string_view kStore = "../../blobs/";
  if (!target.starts_with(kStore)) return false;
  const std::string_view rest = target.substr(kStore.size());
  return rest.size() == 2 + 1 + 64 && rest[2] == '/' && is_lower_hex(rest.substr(0, 2)) &&
         is_lower_hex(rest.substr(3)) && rest.substr(3, 2) == rest.substr(0, 2);
}

RepoPaths::RepoPaths(std::filesystem::path cache_dir, const std::string& repo)
    : cache_dir_(std::move(cache_dir)), folder_name_("models--" + repo) {
  if (const std::size_t slash = folder_name_.find('/'); slash != std::string::npos) {
    folder_name_.replace(slash, 1, "--");
  }
  folder_ = cache_dir_ / folder_name_;
}

std::filesystem::path RepoPaths::blob(const std::string& etag) const {
  return blobs() / etag;
}

std::filesystem::path RepoPaths::partial(const std::string& etag) const {
  return blobs() / (etag + ".stella.incomplete");
}

std::filesystem::path RepoPaths::partial_record(const std::string& etag) const {
  return blobs() / (etag + ".stella-ranges.incomplete");
}

std::filesystem::path RepoPaths::lock(const std::string& etag) const {
  return cache_dir_ / ".locks" / folder_name_ / (etag + ".lock");
}

std::filesystem::path RepoPaths::ref(const std::string& revision) const {
  return folder_ / "refs" / revision;
}

std::filesystem::path RepoPaths::snapshot(const std::string& commit) const {
  return folder_ / "snapshots" / commit;
}

std::filesystem::path RepoPaths::pointer(const std::string& commit, const std::string& file) const {
  return snapshot(commit) / file;
}

std::filesystem::path RepoPaths::no_exist(const std::string& commit, const std::string& file) const {
  return folder_ / ".no_exist" / commit / file;
}

std::filesystem::path RepoPaths::cachedir_tag() const {
  return cache_dir_ / "CACHEDIR.TAG";
}

std::string RepoPaths::link_target(const std::string& file, const std::string& etag) {
  std::string target = "../../";
  for (const char c : file) {
    if (c == '/') target += "../";
  }
  return target + "blobs/" + etag;
}

}  // namespace stella::hub
