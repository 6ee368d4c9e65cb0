// Files that come with the library: the demonstration model, published vectors.
#pragma once

#include <filesystem>
#include <string>

// Where they were installed, for programs that link the static library from elsewhere: defined by the CMake package;
// by the pkg-config file as STELLA_SHARE_PATH, without the quotes that shells and make treat differently.
#if !defined(STELLA_SHARE_DIRECTORY) && defined(STELLA_SHARE_PATH)
#define STELLA_TEXT_OF_TOKENS(tokens) #tokens
#define STELLA_TEXT_OF(macro) STELLA_TEXT_OF_TOKENS(macro)
#define STELLA_SHARE_DIRECTORY STELLA_TEXT_OF(STELLA_SHARE_PATH)
#elif !defined(STELLA_SHARE_DIRECTORY)
#define STELLA_SHARE_DIRECTORY ""
#endif

namespace stella {

/// The folder that holds models/ and published/: share/stella beside the program (a build tree) or beside its bin/,
/// beside the shared library's folder, else `installed`. Throws Error(io_error) that names these places.
std::filesystem::path share_directory(const std::filesystem::path& installed = STELLA_SHARE_DIRECTORY);

/// As above for a program in `program`.
std::filesystem::path share_directory_of(const std::filesystem::path& program, const std::filesystem::path& installed);

/// What a model's name means: "demo" is the bundled model's directory, unless a directory of that name is there;
/// everything else is itself.
std::string resolve_model(const std::string& model, const std::filesystem::path& installed = STELLA_SHARE_DIRECTORY);

}  // namespace stella
