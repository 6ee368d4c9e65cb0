// A page of a repository's listing.
#include "hub/listing.hpp"

#include "base/repo_names.hpp"
#include "fuzz.hpp"

using namespace stella;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::holds_or_throws([&] {
    for (const hub::RepoFile& file : hub::parse_tree_page(fuzz::text_of(data, size), "a/b")) {
      fuzz::check(fuzz::holds_or_throws([&] { check_file(file.path); }),
                  "names that must not reach the disk are left out");
      fuzz::check(file.hash.empty() || is_etag(file.hash), "a hash is one");
    }
  });
  return 0;
}
