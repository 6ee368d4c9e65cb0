#include "hub/listing.hpp"

#include "base/json.hpp"
#include "base/repo_names.hpp"
#include "hub/cache/paths.hpp"
#include "hub/cache/store.hpp"
#include "hub/download/request.hpp"
#include "hub/http/url.hpp"

#include <algorithm>
#include <utility>

namespace stella::hub {
namespace {

// A page of the hub's has a thousand entries and a few hundred KiB.
constexpr int kMaxPages = 1000;
constexpr std::size_t kMaxPageBytes = 8U << 20U;
constexpr std::size_t kMaxBytes = 64U << 20U;

std::string text_of(const json::object& entry, std::string_view name) {
  const json::value* value = entry.if_contains(name);
  const json::string* text = value != nullptr ? value->if_string() : nullptr;
  return text != nullptr ? std::string(*text) : std::string();
}

std::uint64_t number_of(const json::object& entry, std::string_view name) {
  const json::value* value = entry.if_contains(name);
  if (value == nullptr) return 0;
  boost::system::error_code error;
  const auto number = value->to_number<std::uint64_t>(error);
  return error ? 0 : number;
}

}  // namespace

namespace {

/// Adds the file, unless its name must not reach the disk.
void add_file(std::vector<RepoFile>& files, RepoFile file) {
  try {
    check_file(file.path);
  } catch (const Error&) {
    return;
  }
  files.push_back(std::move(file));
}

}  // namespace

std::vector<RepoFile> parse_revision(std::string_view json, const std::string& what) {
  boost::system::error_code error;
  const json::value answer = json::parse(json, error);
  const json::object* object = error ? nullptr : answer.if_object();
  const json::value* siblings = object != nullptr ? object->if_contains("siblings") : nullptr;
  if (siblings == nullptr || !siblings->is_array()) {
    throw Error(Errc::http_error, what + ": the hub's answer names no files ('siblings')");
  }
  std::vector<RepoFile> files;
  for (const json::value& item : siblings->get_array()) {
    if (const json::object* entry = item.if_object()) add_file(files, {text_of(*entry, "rfilename"), 0, {}});
  }
  return files;
}

std::vector<RepoFile> parse_tree_page(std::string_view json, const std::string& what) {
  boost::system::error_code error;
  const json::value page = json::parse(json, error);
  if (error || !page.is_array()) throw Error(Errc::http_error, what + ": the hub's listing is not a JSON array");
  std::vector<RepoFile> files;
  for (const json::value& item : page.get_array()) {
    const json::object* entry = item.if_object();
    if (entry == nullptr || text_of(*entry, "type") != "file") continue;
    RepoFile file{text_of(*entry, "path"), number_of(*entry, "size"), text_of(*entry, "oid")};
    const json::value* lfs = entry->if_contains("lfs");
    if (lfs != nullptr && lfs->is_object()) {
      file.hash = text_of(lfs->get_object(), "oid");
      file.size = number_of(lfs->get_object(), "size");
    }
    if (!is_etag(file.hash)) file.hash.clear();
    add_file(files, std::move(file));
  }
  return files;
}

Listing::Listing(Resources& resources, FileRequest request, Done done, UniqueFunction<void()> landed)
    : resources_(resources), request_(std::move(request)), done_(std::move(done)), landed_(std::move(landed)) {}

void Listing::start(std::stop_token stop) {
  on_stop_.emplace(std::move(stop), [&loop = resources_.loop, listing = weak_from_this()] {
    loop.post([listing] {
      const auto self = listing.lock();
      if (!self) return;
      self->leave(
          std::make_exception_ptr(Error(Errc::cancelled, describe(self->request_) + ": the listing was cancelled")));
    });
  });
  try {
    if (!request_.options->offline) check_reachable(*request_.options);
  } catch (const Error&) {
    return complete(std::current_exception());
  }
  if (!request_.options->offline) return ask(tree_url(request_.options->endpoint, request_.repo, request_.revision));
  HttpFailure failure;
  failure.code = Errc::offline;
  failure.message = "offline mode is on (HF_HUB_OFFLINE or --offline)";
  from_cache(failure);
}

void Listing::leave(const std::exception_ptr& error) {
  complete(error);
}

void Listing::ask(const std::string& url) {
  Question question;
  question.head = false;
  question.url = url;
  question.what = "the list of files of " + describe(request_);
  question.options = request_.options;
  question.retries = resources_.tuning.retries;
  question.most_bytes = kMaxPageBytes;
  query_ = std::make_unique<Query>(resources_.loop, std::move(question),
                                   [this](std::optional<Answer> answer, std::optional<HttpFailure> failure) {
                                     const auto self = shared_from_this();
                                     const auto query = std::move(query_);
                                     if (failure) return unanswered(*failure);
                                     answered(*answer);
                                   });
}

void Listing::answered(const Answer& answer) {
  try {
    if (answer.head.status != 200) {
      throw Error(Errc::http_error, describe(request_) + ": the hub's listing leads away from the hub");
    }
    auto page = by_revision_ ? parse_revision(answer.body, describe(request_))
                             : parse_tree_page(answer.body, describe(request_));
    std::move(page.begin(), page.end(), std::back_inserter(files_));
  } catch (const Error&) {
    return complete(std::current_exception());
  }
  const std::string next = by_revision_ ? std::string() : next_link(answer.head);
  if (next.empty()) return complete(nullptr);
  bytes_ += answer.body.size();
  if (++pages_ >= kMaxPages || bytes_ > kMaxBytes) {
    return complete(std::make_exception_ptr(Error(
        Errc::limit_exceeded, describe(request_) + ": the hub's listing has more than " + std::to_string(kMaxPages) +
                                  " pages or " + std::to_string(kMaxBytes) + " bytes, more than is read")));
  }
  const auto url = resolve_location(answer.head.url, next);
  if (!url || !same_origin(*url, answer.head.url)) {
    return complete(std::make_exception_ptr(
        Error(Errc::http_error, describe(request_) + ": the hub's listing has an unusable next page")));
  }
  ask(*url);
}

void Listing::unanswered(const HttpFailure& failure) {
  if (failure.ambiguous && !std::exchange(by_revision_, true)) {
    files_.clear();
    return ask(revision_url(request_.options->endpoint, request_.repo, request_.revision));
  }
  const bool final_word = failure.code == Errc::revision_not_found || failure.code == Errc::entry_not_found ||
                          failure.code == Errc::limit_exceeded || failure.code == Errc::resource_limit ||
                          failure.code == Errc::out_of_memory;
  if (final_word && !failure.ambiguous) {
    return complete(failure.exception());
  }
  from_cache(failure);
}

void Listing::from_cache(const HttpFailure& failure) {
  using Files = std::vector<RepoFile>;
  resources_.files.run<Files>(
      [paths = RepoPaths(request_.options->cache_dir, request_.repo), revision = request_.revision] {
        Files files;
        const auto commit = known_commit(paths, revision);
        if (!commit) return files;
        for (const std::string& name : snapshot_files(paths, *commit)) {
          std::error_code error;
          const auto size = std::filesystem::file_size(paths.pointer(*commit, name), error);
          files.push_back({name, error ? 0 : size, {}});
        }
        return files;
      },
      [self = shared_from_this(), failure](std::exception_ptr error, Files files) {
        if (error) return self->complete(error);
        self->files_ = std::move(files);
        if (!self->files_.empty()) return self->complete(nullptr);
        if (failure.code == Errc::gated_repo || failure.code == Errc::repository_not_found) {
          return self->complete(failure.exception());
        }
        ErrorContext context = failure.context;
        context.cause = failure.message;
        self->complete(std::make_exception_ptr(
            Error(Errc::local_entry_not_found,
                  describe(self->request_) + " is not in the cache and the hub could not list it: " + failure.message,
                  std::move(context))));
      });
}

void Listing::complete(std::exception_ptr error) {
  if (!done_) return;
  const auto self = shared_from_this();
  query_.reset();
  on_stop_.reset();
  auto done = std::exchange(done_, {});
  done(error, error ? std::vector<RepoFile>{} : std::move(files_));
  std::exchange(landed_, {})();
}

}  // namespace stella::hub
