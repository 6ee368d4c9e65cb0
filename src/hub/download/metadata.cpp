#include "hub/download/metadata.hpp"

#include "base/ascii.hpp"
#include "base/repo_names.hpp"
#include "base/sha.hpp"
#include "base/text.hpp"
#include "hub/http/url.hpp"

#include <algorithm>

namespace stella::hub {
namespace {

bool is_hex(std::string_view text, std::size_t least, std::size_t most) {
  return text.size() >= least && text.size() <= most && is_lower_hex(to_lower(text));
}

// Without what servers append when they compress, though we ask them not to: "…-gzip", "…;br".
std::string_view without_coding(std::string_view etag) {
  for (const std::string_view coding : {"gzip", "br", "zstd", "deflate", "df"}) {
    if (!etag.ends_with(coding)) continue;
    const std::string_view rest = etag.substr(0, etag.size() - coding.size());
    const std::size_t end = rest.find_last_not_of("-;:+.");
    if (end != std::string_view::npos && end + 1 < rest.size()) return rest.substr(0, end + 1);
  }
  return etag;
}

// Nexus: {SHA1{…}}.
std::string_view without_braces(std::string_view etag) {
  constexpr std::string_view kOpen = "{SHA1{";
  if (!etag.starts_with(kOpen) || !etag.ends_with("}}")) return etag;
  return etag.substr(kOpen.size(), etag.size() - kOpen.size() - 2);
}

// md5; md5-parts of object stores; mtime-size of web servers; 0x… of blob stores.
bool is_foreign_etag(std::string_view etag) {
  if (is_hex(etag, 32, 32)) return true;
  if (etag.starts_with("0x")) return is_hex(etag.substr(2), 12, 20);
  const std::size_t dash = etag.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view second = etag.substr(dash + 1);
  const std::size_t next = std::min(second.find('-'), second.size());
  return is_hex(etag.substr(0, dash), 1, 32) && is_hex(second.substr(0, next), 1, 16) &&
         (next == second.size() || is_hex(second.substr(next + 1), 1, 16));
}

void set_etag(FileMetadata& metadata, const HttpHead& head, const Asked& asked) {
  const std::string linked = head.value("x-linked-etag");
  metadata.announced = normalized_etag(linked.empty() ? head.value("etag") : linked);
  metadata.etag = metadata.announced;
  if (asked.mirror) {
    // Artifactory's, of the artifact itself.
    const std::string checksum = head.value("x-checksum-sha256");
    const bool useful = linked.empty() && !is_redirect(head.status) && checksum.size() == 64 && is_lower_hex(checksum);
    metadata.etag = useful ? checksum : without_braces(without_coding(metadata.announced));
    metadata.may_be_plain_sha1 = metadata.etag.size() == 40;
  }
  // The ETag of a redirect is the redirect's own.
  const bool of_content = is_etag(metadata.etag) && (!asked.mirror || !linked.empty() || !is_redirect(head.status));
  if (of_content) return;
  if (asked.mirror && (is_etag(metadata.etag) || is_foreign_etag(metadata.etag))) {
    metadata.may_be_plain_sha1 = false;
    metadata.verifiable = false;
    metadata.etag = sha256_hex("etag of a mirror: " + metadata.etag);
    return;
  }
  const std::string shown = metadata.announced.empty()
                                ? " names no etag"
                                : " names the malformed etag '" + printable_line(metadata.announced, 100) + "'";
  throw Error(Errc::file_metadata,
              redacted(head.url) + shown + " (X-Linked-ETag or ETag), by which files are stored and verified: check " +
                  "that HF_ENDPOINT is a hub or a mirror of one, and your proxy",
              context_of(head));
}

}  // namespace

std::string normalized_etag(std::string_view header) {
  header = trim(header);
  if (header.starts_with("W/")) header.remove_prefix(2);
  while (header.starts_with('"')) header.remove_prefix(1);
  while (header.ends_with('"')) header.remove_suffix(1);
  return std::string(header);
}

FileMetadata metadata_from(const HttpHead& head, const Asked& asked) {
  const bool redirect = is_redirect(head.status);
  FileMetadata metadata;
  metadata.commit = head.value("x-repo-commit");
  if (metadata.commit.empty() && asked.mirror && is_commit(asked.revision)) metadata.commit = asked.revision;
  if (!is_commit(metadata.commit)) {
    throw Error(
        Errc::file_metadata,
        redacted(head.url) + (metadata.commit.empty() ? " names no commit" : " names a malformed commit") +
            " (X-Repo-Commit): check that HF_ENDPOINT is a hub, or a mirror that passes the hub's headers on; " +
            "or ask for a commit of 40 digits as the revision",
        context_of(head));
  }
  set_etag(metadata, head, asked);
  const std::string linked_size = head.value("x-linked-size");
  metadata.size = parse_number(!linked_size.empty() ? linked_size : redirect ? "" : head.value("content-length"));
  metadata.location = head.url;
  if (redirect) {
    auto target = redirect_target(head);
    if (const auto* failure = std::get_if<HttpFailure>(&target)) throw failure->error();
    metadata.location = std::get<std::string>(std::move(target));
  }
  return metadata;
}

}  // namespace stella::hub
