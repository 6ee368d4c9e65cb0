// The hub's answers and addresses. Pieces: a status, the address that answered, a base, then header lines.
#include "base/ascii.hpp"
#include "base/repo_names.hpp"
#include "fuzz.hpp"
#include "hub/download/metadata.hpp"
#include "hub/http/url.hpp"

using namespace stella;
using fuzz::check;

namespace {

void check_metadata(const hub::HttpHead& head, const hub::Asked& asked) {
  const hub::FileMetadata metadata = hub::metadata_from(head, asked);
  check(is_etag(metadata.etag), "an etag can be a file's name");
  check(is_commit(metadata.commit), "a commit is one");
  check(asked.mirror || metadata.verifiable, "what the hub serves can be verified");
  check(hub::origin_of(metadata.location).has_value(), "a body has an address");
  check(!hub::is_downgrade(head.url, metadata.location), "nothing leads from https to http");
}

void check_addresses(const std::string& base, const std::string& location) {
  const auto origin = hub::origin_of(base);
  check(!origin || hub::same_origin(base, base), "an address has its own origin");
  if (const auto resolved = hub::resolve_location(base, location)) {
    check(hub::origin_of(*resolved).has_value(), "what resolves is an address");
    check(resolved->find('#') == std::string::npos, "a resolved address has no fragment");
    if (hub::is_hub_redirect(base, base, *resolved))
      check(!hub::is_downgrade(base, *resolved), "hub redirects keep https");
  }
  const std::string shown = hub::redacted(location);
  check(shown.find('?') == std::string::npos && shown.find('#') == std::string::npos, "secrets are not shown");
  for (const char c : hub::quote(location, true))
    check(c > ' ' && c < 0x7F && c != '?' && c != '#', "a quoted name is plain");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Pieces pieces(data, size);
  hub::HttpHead head;
  head.status = static_cast<int>(parse_number(pieces.next()).value_or(200) % 1000);
  head.url = pieces.next();
  if (!hub::origin_of(head.url))
    head.url = "https://huggingface.co/a/b/resolve/main/c";  // what was asked is an address
  const std::string base = pieces.next();
  while (!pieces.empty()) {
    const std::string line = pieces.next();
    const std::size_t colon = line.find(':');
    head.headers.emplace_back(to_lower(line.substr(0, colon)),
                              colon == std::string::npos ? "" : std::string(trim(line.substr(colon + 1))));
  }
  for (const bool mirror : {false, true}) {
    fuzz::holds_or_throws([&] { check_metadata(head, {.mirror = mirror, .revision = base}); });
    const hub::HttpFailure failure = hub::failure_from(head, base, 1'700'000'000, mirror);
    fuzz::check_line(failure.error().what());
    check(!failure.wait || failure.wait->count() >= 0, "nobody waits backwards");
  }
  if (const auto range = hub::content_range(head)) {
    check(range->first <= range->last && (!range->total || range->last < *range->total), "a range lies in its file");
  }
  if (const auto wait = hub::requested_wait(head, 1'700'000'000)) check(wait->count() >= 0, "nobody waits backwards");
  check_addresses(base, head.url);
  check_addresses(head.url, hub::next_link(head));
  if (const std::string* location = head.find("location")) check_addresses(head.url, *location);
  return 0;
}
