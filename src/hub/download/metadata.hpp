// What the hub's answer to a question about a file says of it: a pure function from status and headers to metadata.
#pragma once

#include "hub/http/answer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stella::hub {

/// One file at one commit.
struct FileMetadata {
  /// 40 or 64 lowercase hexadecimal digits: the hash of the content where `verifiable`, else a name made from the etag
  /// for locks and unfinished files, and the blob is called by the sha256 of what came.
  std::string etag;
  bool verifiable = true;
  /// Of 40 digits, and from a mirror: it may be the plain sha1 of the content as well as git's.
  bool may_be_plain_sha1 = false;
  std::string announced{};              ///< The etag as it was sent, for messages.
  std::string commit{};                 ///< 40 lowercase hexadecimal digits.
  std::optional<std::uint64_t> size{};  ///< Missing where the hub does not say.
  std::string location{};               ///< Absolute address of the body.
};

/// What the asker knows about an answer.
struct Asked {
  /// The address belongs to an endpoint that the user set, which may be a mirror: a reverse proxy or an artifact store
  /// that passes files on without all of the hub's headers.
  bool mirror = false;
  std::string revision{};  ///< Of the question; where it is a commit, a mirror's answer need not name it.
};

/// ETag without W/ and quotes.
std::string normalized_etag(std::string_view header);

/// Metadata from the answer at which a HEAD request stopped (2xx or a redirect to another origin); throws
/// Error(file_metadata) where commit or etag is missing or malformed, Error(http_error) where a redirect leads nowhere
/// or from https to http. Of a mirror alone, etags that are no hashes of the content are taken: md5, plain sha1, those
/// of web servers and object stores.
FileMetadata metadata_from(const HttpHead& head, const Asked& asked = {});

}  // namespace stella::hub
