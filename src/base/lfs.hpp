// Git LFS: what a clone without it has in place of large files.
#pragma once

#include <string>
#include <string_view>

namespace stella {

/// Throws Error(malformed_file) naming `file` where its `content` (or the start of it) is a Git LFS pointer.
void refuse_lfs_pointer(std::string_view content, const std::string& file);

}  // namespace stella
