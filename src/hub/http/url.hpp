// Addresses of the hub: building, resolving, comparing, and making fit to be shown.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stella::hub {

/// What decides who may see a token: scheme, host in lower case, and port (the scheme's own where none is written).
struct Origin {
  std::string scheme, host, port;
  bool operator==(const Origin&) const = default;
};

/// Nothing where `url` is no http or https address.
std::optional<Origin> origin_of(const std::string& url);

bool same_origin(const std::string& a, const std::string& b);

/// Whether a redirect of a metadata request from `from` to `to` is followed: to the same origin, the endpoint's, or
/// one of the public hub's.
bool is_hub_redirect(const std::string& endpoint, const std::string& from, const std::string& to);

/// Whether `endpoint` is another than the public hub's: one that the user set, and perhaps a mirror.
bool is_own_endpoint(const std::string& endpoint);

/// From https to anything that is not.
bool is_downgrade(const std::string& from, const std::string& to);

/// `location` relative to `base`, without a fragment; nothing where it is malformed or of another scheme.
std::optional<std::string> resolve_location(const std::string& base, const std::string& location);

/// Without user info, query and fragment: signed addresses carry secrets there.
std::string redacted(const std::string& url);

/// Percent-encodes everything but unreserved characters (as Python's urllib.parse.quote), and '/' where kept.
std::string quote(std::string_view text, bool keep_slash);

/// {endpoint}/{repo}/resolve/{revision}/{file}
std::string file_url(const std::string& endpoint, const std::string& repo, const std::string& revision,
                     const std::string& file);
/// {endpoint}/api/models/{repo}/tree/{revision}?recursive=true
std::string tree_url(const std::string& endpoint, const std::string& repo, const std::string& revision);
/// {endpoint}/api/models/{repo}/revision/{revision}
std::string revision_url(const std::string& endpoint, const std::string& repo, const std::string& revision);

}  // namespace stella::hub
