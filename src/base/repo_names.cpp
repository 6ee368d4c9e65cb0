#include "base/repo_names.hpp"

#include "base/ascii.hpp"
#include "stella/error.hpp"

#include <algorithm>

namespace stella {
namespace {

bool is_repo_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool is_repo_part(std::string_view part) noexcept {
  constexpr std::size_t kMaxPartLength = 96;
  const auto is_edge = [](char c) { return is_repo_character(c) && c != '-' && c != '.'; };
  return !part.empty() && part.size() <= kMaxPartLength && std::all_of(part.begin(), part.end(), is_repo_character) &&
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

bool is_repo_id(std::string_view id) noexcept {
  const std::size_t slash = id.find('/');
  const bool parts_fit = slash == std::string_view::npos
                             ? is_repo_part(id)
                             : is_repo_part(id.substr(0, slash)) && is_repo_part(id.substr(slash + 1));
  return parts_fit && id.find("--") == std::string_view::npos && id.find("..") == std::string_view::npos &&
         !id.ends_with(".git");
}

void check_repo(const std::string& repo) {
  if (is_repo_id(repo)) return;
  refuse("repository", repo, "expected 'name' or 'organisation/name' of letters, digits, '-', '_' and '.'");
}

void check_revision(const std::string& revision) {
  if (!is_contained(revision)) refuse("revision", revision, "expected a branch, a tag or a commit");
}

void check_file(const std::string& file) {
  if (!is_contained(file)) refuse("file name", file, "expected a relative path with '/' and without '..'");
}

}  // namespace stella
