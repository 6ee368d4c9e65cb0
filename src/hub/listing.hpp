// The files of a repository at a revision.
#pragma once

#include "hub/download/request.hpp"
#include "hub/download/resources.hpp"
#include "hub/http/query.hpp"

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace stella::hub {

struct RepoFile {
  std::string path;
  std::uint64_t size = 0;
  std::string hash;  ///< sha256 (64 hex) for large files, else the git blob's sha1 (40 hex).
};

/// The files on one page of GET /api/models/{id}/tree/{revision}. Throws Error(http_error) where the text is no such
/// page; entries with names that must not reach the disk are left out.
std::vector<RepoFile> parse_tree_page(std::string_view json, const std::string& what);

/// The files named by GET /api/models/{id}/revision/{revision}, without sizes and hashes. Throws as above.
std::vector<RepoFile> parse_revision(std::string_view json, const std::string& what);

/// One listing in progress. Loop thread only; owned by a shared_ptr.
class Listing : public std::enable_shared_from_this<Listing> {
 public:
  using Done = Completion<std::vector<RepoFile>>;
  Listing(Resources& resources, FileRequest request, Done done, UniqueFunction<void()> landed);

  void start(std::stop_token stop);
  void leave(const std::exception_ptr& error);

 private:
  void ask(const std::string& url);
  void answered(const Answer& answer);
  void unanswered(const HttpFailure& failure);
  void from_cache(const HttpFailure& failure);
  void complete(std::exception_ptr error);

  Resources& resources_;
  FileRequest request_;
  Done done_;
  UniqueFunction<void()> landed_;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
  std::unique_ptr<Query> query_;
  std::vector<RepoFile> files_;
  bool by_revision_ = false;  // of a mirror that has no trees
  int pages_ = 0;
  std::size_t bytes_ = 0;  // of all pages
};

}  // namespace stella::hub
