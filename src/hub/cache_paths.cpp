#include "hub/cache_paths.hpp"

#include "hub/text.hpp"
#include "stella/error.hpp"

#include <utility>

namespace stella::hub {
namespace {

bool is_repo_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool is_repo_part(std::string_view part) noexcept {
  constexpr std::size_t kLongest = 96;
  const auto is_edge = [](char c) { return is_repo_character(c) && c != '-' && c != '.'; };
  return !part.empty() && part.size() <= kLongest && std::all_of(part.begin(), part.end(), is_repo_character) &&
         is_edge(part.front()) && is_edge(part.back());
}

// A relative path whose parts all stay below its folder.
bool is_contained(std::string_view path) noexcept {
  if (path.empty() || path.find('\\') != std::string_view::npos || path.find('\0') != std::string_view::npos) {
    return false;
  }
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

[[noreturn]] void refuse(const std::string& what, const std::string& name, const std::string& rule) {
  std::string shown;
  for (const char c : name.substr(0, 200)) {
    const bool printable = static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
    shown += printable ? c : '?';
  }
  throw Error(Errc::invalid_argument, what + " '" + shown + "' is not valid: " + rule);
}

}  // namespace

bool is_commit(std::string_view text) noexcept {
  return text.size() == 40 && is_lower_hex(text);
}

bool is_etag(std::string_view text) noexcept {
  return (text.size() == 40 || text.size() == 64) && is_lower_hex(text);
}

void check_repo(const std::string& repo) {
  const std::string_view all = repo;
  const std::size_t slash = all.find('/');
  const bool parts_fit = slash == std::string_view::npos
                             ? is_repo_part(all)
                             : is_repo_part(all.substr(0, slash)) && is_repo_part(all.substr(slash + 1));
  if (!parts_fit || all.find("--") != std::string_view::npos || all.find("..") != std::string_view::npos ||
      all.ends_with(".git")) {
    refuse("repository", repo, "expected 'name' or 'organisation/name' of letters, digits, '-', '_' and '.'");
  }
}

void check_revision(const std::string& revision) {
  if (!is_contained(revision)) refuse("revision", revision, "expected a branch, a tag or a commit");
}

void check_file(const std::string& file) {
  if (!is_contained(file)) refuse("file name", file, "expected a relative path with '/' and without '..'");
}

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
