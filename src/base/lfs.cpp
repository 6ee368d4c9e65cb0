#include "base/lfs.hpp"

#include "stella/error.hpp"

namespace stella {

void refuse_lfs_pointer(std::string_view content, const std::string& file) {
  // https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
  if (!content.starts_with("version https://git-lfs.github.com/spec/")) return;
  throw Error(Errc::malformed_file, file + ": a Git LFS pointer lies in place of the file; run `git lfs pull` there",
              {.file = file});
}

}  // namespace stella
