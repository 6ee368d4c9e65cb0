#include "hub/metadata.hpp"

#include "base/sha.hpp"
#include "base/text.hpp"
#include "hub/cache_paths.hpp"
#include "hub/text.hpp"
#include "hub/url.hpp"

#include <curl/curl.h>

namespace stella::hub {
namespace {

std::string value_of(const HttpHead& head, std::string_view name) {
  const std::string* value = head.find(name);
  return value != nullptr ? std::string(trim(*value)) : std::string();
}

ErrorContext context_of(const HttpHead& head) {
  ErrorContext context;
  context.url = redacted(head.url);
  context.http_status = head.status;
  for (const char* name : {"x-request-id", "x-amzn-trace-id", "x-amz-cf-id"}) {
    context.request_id = value_of(head, name);
    if (!context.request_id.empty()) break;
  }
  return context;
}

// A server's own words, short enough for a message.
std::string quoted_message(const HttpHead& head) {
  const std::string text = printable_line(value_of(head, "x-error-message"), 300);
  return text.empty() ? text : " (the hub says: " + text + ")";
}

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
  const std::string linked = value_of(head, "x-linked-etag");
  metadata.announced = normalized_etag(linked.empty() ? value_of(head, "etag") : linked);
  metadata.etag = metadata.announced;
  if (asked.mirror) {
    // Artifactory's, of the artifact itself.
    const std::string checksum = value_of(head, "x-checksum-sha256");
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

std::optional<std::chrono::seconds> rate_limit_reset(const std::string& header) {
  // "resource";r=<remaining>;t=<seconds>
  std::optional<std::uint64_t> remaining;
  std::optional<std::uint64_t> seconds;
  for (std::size_t begin = 0; begin < header.size();) {
    const std::size_t end = std::min(header.find(';', begin), header.size());
    const std::string_view field = trim(std::string_view(header).substr(begin, end - begin));
    if (const std::size_t equals = field.find('='); equals != std::string_view::npos) {
      const std::string_view name = trim(field.substr(0, equals));
      const auto value = parse_number(trim(field.substr(equals + 1)));
      if (name == "r") remaining = value;
      if (name == "t") seconds = value;
    }
    begin = end + 1;
  }
  if (!remaining || !seconds || *remaining != 0) return std::nullopt;
  return std::chrono::seconds(std::min<std::uint64_t>(*seconds, 1U << 30));
}

std::optional<std::chrono::seconds> retry_after(const std::string& header, std::time_t now) {
  if (const auto seconds = parse_number(header)) {
    return std::chrono::seconds(std::min<std::uint64_t>(*seconds, 1U << 30));
  }
  const std::time_t date = header.empty() ? -1 : curl_getdate(header.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::chrono::seconds(std::max<std::time_t>(0, date - now));
}

}  // namespace

const std::string* HttpHead::find(std::string_view name) const noexcept {
  for (const auto& [key, value] : headers) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string normalized_etag(std::string_view header) {
  header = trim(header);
  if (header.starts_with("W/")) header.remove_prefix(2);
  while (header.starts_with('"')) header.remove_prefix(1);
  while (header.ends_with('"')) header.remove_suffix(1);
  return std::string(header);
}

bool is_redirect(int status) noexcept {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

FileMetadata metadata_from(const HttpHead& head, const Asked& asked) {
  const bool redirect = is_redirect(head.status);
  FileMetadata metadata;
  metadata.commit = value_of(head, "x-repo-commit");
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
  const std::string linked_size = value_of(head, "x-linked-size");
  metadata.size = parse_number(!linked_size.empty() ? linked_size : redirect ? "" : value_of(head, "content-length"));
  metadata.location = head.url;
  if (redirect) {
    const auto target = resolve_location(head.url, value_of(head, "location"));
    if (!target) {
      throw Error(Errc::http_error, redacted(head.url) + " redirects to no usable address", context_of(head));
    }
    if (is_downgrade(head.url, *target)) {
      throw Error(Errc::http_error, redacted(head.url) + " redirects from https to http; refused", context_of(head));
    }
    metadata.location = *target;
  }
  return metadata;
}

bool is_transient(int status) noexcept {
  return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

std::optional<std::chrono::milliseconds> requested_wait(const HttpHead& head, std::time_t now) {
  std::optional<std::chrono::seconds> wait;
  if (head.status == 429) wait = rate_limit_reset(value_of(head, "ratelimit"));
  if (!wait) wait = retry_after(value_of(head, "retry-after"), now);
  if (!wait) return std::nullopt;
  return *wait + std::chrono::seconds(1);
}

Failure failure_from(const HttpHead& head, const std::string& what, std::time_t now, bool mirror) {
  Failure failure;
  failure.context = context_of(head);
  const std::string code = value_of(head, "x-error-code");
  const std::string message = value_of(head, "x-error-message");
  const bool bare_401 = head.status == 401 && message != "Invalid credentials in Authorization header";
  if (code == "RevisionNotFound") {
    failure.code = Errc::revision_not_found;
    failure.message = what + ": the repository has no such revision";
  } else if (code == "EntryNotFound") {
    failure.code = Errc::entry_not_found;
    failure.message = what + ": the repository has no such file at that revision";
    if (const std::string commit = value_of(head, "x-repo-commit"); is_commit(commit)) failure.commit = commit;
  } else if (code == "GatedRepo") {
    failure.code = Errc::gated_repo;
    failure.message = what + ": access is gated; accept the model's terms on its page and set HF_TOKEN";
  } else if (code == "RepoNotFound" || bare_401) {
    failure.code = Errc::repository_not_found;
    failure.message = what + ": no such repository, or it is private and HF_TOKEN is missing or lacks access";
  } else if (mirror && head.status == 404) {
    failure.code = Errc::entry_not_found;
    failure.ambiguous = true;
    failure.message = what + ": " + failure.context.url +
                      " answered status 404: the repository has no such file or revision, or the mirror that " +
                      "HF_ENDPOINT names does not have the repository";
  } else {
    failure.code = Errc::http_error;
    failure.retry = is_transient(head.status);
    failure.wait = failure.retry ? requested_wait(head, now) : std::nullopt;
    failure.message = what + ": " + failure.context.url + " answered status " + std::to_string(head.status);
  }
  failure.message += quoted_message(head);
  return failure;
}

std::optional<ContentRange> content_range(const HttpHead& head) {
  const std::string text = to_lower(value_of(head, "content-range"));
  constexpr std::string_view kUnit = "bytes ";
  if (!std::string_view(text).starts_with(kUnit)) return std::nullopt;
  const std::string_view range = std::string_view(text).substr(kUnit.size());
  const std::size_t dash = range.find('-');
  const std::size_t slash = range.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = parse_number(trim(range.substr(0, dash)));
  const auto last = parse_number(trim(range.substr(dash + 1, slash - dash - 1)));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  const auto total = parse_number(trim(range.substr(slash + 1)));
  if (total && *total <= *last) return std::nullopt;  // RFC 9110, section 14.4: invalid
  return ContentRange{*first, *last, total};
}

std::string next_link(const HttpHead& head) {
  const std::string header = value_of(head, "link");
  for (std::size_t open = header.find('<'); open != std::string::npos; open = header.find('<', open + 1)) {
    const std::size_t close = header.find('>', open);
    if (close == std::string::npos) break;
    const std::size_t end = std::min(header.find(',', close), header.size());
    const std::string parameters = to_lower(header.substr(close + 1, end - close - 1));
    if (parameters.find("rel=\"next\"") != std::string::npos || parameters.find("rel=next") != std::string::npos) {
      return header.substr(open + 1, close - open - 1);
    }
  }
  return {};
}

}  // namespace stella::hub
