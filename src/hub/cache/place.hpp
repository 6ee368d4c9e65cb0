// An archive's contents on their way into the cache (cache::unpack()).
#pragma once

#include "hub/cache/tar.hpp"
#include "stella/hub.hpp"

#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::hub {

/// What an archive holds of one repository, checked.
struct Bundle {
  struct Link {
    std::string commit, file, etag;
  };
  std::string repo;
  std::map<std::string, TarEntry> blobs;    // by etag
  std::vector<Link> links;                  // names are unique, and none is another's folder
  std::map<std::string, std::string> refs;  // revision, commit
};

/// Throws Error(io_error) where a link, or anything else that is in the cache already, is in the way, or the disk too
/// full. Nothing is written.
void check_place(const HubOptions& hub, const Bundle& bundle);

/// Puts a bundle whose hashes are right into the cache, through no link. Throws Error(io_error),
/// Error(malformed_file) where the archive has changed meanwhile, Error(cancelled).
void place(const HubOptions& hub, const TarReader& reader, const Bundle& bundle, const std::stop_token& stop);

}  // namespace stella::hub
