// Files that come with the program, found relative to it: no path of the build machine is in the binary.
#pragma once

#include <filesystem>
#include <string>

namespace stella::cli {

/// The folder that holds models/ and published/: beside an installed program (../share/stella) or, in a build tree,
/// share/stella next to the program. Throws Failure(kRuntimeFailure) that names both places.
std::filesystem::path share_directory();

/// As above for a program in `program_directory`.
std::filesystem::path share_directory(const std::filesystem::path& program_directory);

/// What --model means: an existing directory as it is, "demo" as the bundled model's directory, else a repository id.
std::string resolve_model(const std::string& model);

}  // namespace stella::cli
