// The names by which the hub knows things: repositories, revisions, files, and hashes of contents.
#pragma once

#include <string>
#include <string_view>

namespace stella {

/// 40 lowercase hexadecimal digits: a git commit.
bool is_commit(std::string_view text) noexcept;
/// 40 (git blob sha1) or 64 (sha256) lowercase hexadecimal digits. Anything else never becomes a file name.
bool is_etag(std::string_view text) noexcept;

/// Whether the hub could have a repository of that id: "name" or "organisation/name".
bool is_repo_id(std::string_view id) noexcept;

/// Throw Error(invalid_argument) for names that the hub does not know or that could leave their folder.
void check_repo(const std::string& repo);
void check_revision(const std::string& revision);
void check_file(const std::string& file);

}  // namespace stella
