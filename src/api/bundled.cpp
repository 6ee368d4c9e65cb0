#include "stella/bundled.hpp"

#include "stella/error.hpp"

#include <dlfcn.h>
#include <system_error>
#include <vector>

namespace stella {
namespace {

namespace fs = std::filesystem;

/// The folder of the shared library that this code is in, or of the program that it is linked into; empty if unknown.
fs::path own_folder() {
  Dl_info info{};
  const void* here = reinterpret_cast<const void*>(&own_folder);
  if (::dladdr(here, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  return fs::absolute(info.dli_fname, error).parent_path();
}

}  // namespace

fs::path share_directory_of(const fs::path& program, const fs::path& installed) {
  std::vector<fs::path> places;
  if (!program.empty()) {
    places.push_back(program / "share/stella");
    places.push_back((program / STELLA_SHARE_FROM_BIN).lexically_normal());
  }
  if (const fs::path own = own_folder(); !own.empty())
    places.push_back((own / STELLA_SHARE_FROM_LIB).lexically_normal());
  if (!installed.empty()) places.push_back(installed);
  std::string names;
  for (const fs::path& place : places) {
    std::error_code error;
    if (fs::is_directory(place / "models", error)) return place;
    names += (names.empty() ? "'" : ", '") + place.string() + "'";
  }
  throw Error(Errc::io_error,
              "the files that come with stella are in none of " + names + "; install it whole with cmake --install");
}

fs::path share_directory(const fs::path& installed) {
  std::error_code error;
  return share_directory_of(fs::read_symlink("/proc/self/exe", error).parent_path(), installed);
}

std::string resolve_model(const std::string& model, const fs::path& installed) {
  std::error_code error;
  if (model != "demo" || fs::is_directory(model, error)) return model;
  return (share_directory(installed) / "models/stella-demo").string();
}

}  // namespace stella
