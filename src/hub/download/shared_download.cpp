#include "hub/download/shared_download.hpp"

#include "base/log.hpp"
#include "base/repo_names.hpp"
#include "base/text.hpp"
#include "hub/cache/links.hpp"
#include "hub/cache/store.hpp"
#include "hub/download/request.hpp"
#include "hub/http/url.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

std::exception_ptr cancelled(const FileRequest& request) {
  return std::make_exception_ptr(Error(Errc::cancelled, describe(request) + ": the request was cancelled"));
}

bool has_size(const fs::path& path, const FileMetadata& metadata) {
  std::error_code error;
  return !metadata.size || (fs::file_size(path, error) == *metadata.size && !error);
}

std::uint64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace

std::string download_key(const FileRequest& request) {
  const HubOptions& options = *request.options;
  std::string key;
  for (const std::string& part :
       {options.cache_dir.string(), options.endpoint, request.repo, request.revision, request.file, options.token,
        options.problem, std::string(options.offline ? "offline" : ""), std::string(options.symlinks ? "" : "copies"),
        std::string(request.refetch ? "refetch" : "")}) {
    key += part;
    key += '\0';
  }
  return key;
}

struct SharedDownload::Waiter {
  std::uint64_t id = 0;
  ProgressCallback on_progress;
  Completion<fs::path> done;
  std::optional<std::stop_callback<std::function<void()>>> on_stop;

  /// What on_progress throws, which is then the waiter's error.
  std::exception_ptr tell(const Progress& progress) const noexcept {
    try {
      if (on_progress) on_progress(progress);
    } catch (...) {
      return std::current_exception();
    }
    return nullptr;
  }
};

/// What the cache alone says.
struct SharedDownload::Look {
  std::optional<fs::path> cached;
  bool missing = false;  ///< The hub once said that this commit has no such file.
};

/// What lies where the file shall be.
struct SharedDownload::Place {
  bool pointer = false;            ///< A file, and as far as is known the right one.
  bool blob = false;               ///< The same of the blob that it should lead to.
  bool wrong = false;              ///< A file of another size than the hub names.
  std::shared_ptr<FileLock> lock;  ///< Null while another process holds it.
};

SharedDownload::SharedDownload(Resources& resources, DownloadOwner& owner, FileRequest request)
    : resources_(resources),
      owner_(owner),
      request_(std::move(request)),
      paths_(request_.options->cache_dir, request_.repo) {}

SharedDownload::~SharedDownload() = default;

// The one place where the phase changes; what belongs to a phase ends with it. Once nobody waits, a new request of the
// same key starts a new download.
void SharedDownload::enter(Phase next) {
  phase_ = next;
  query_.reset();
  if (lock_timer_) resources_.loop.cancel(*lock_timer_);
  lock_timer_.reset();
  if (next == Phase::closed) owner_.download_closed(*this);
  if (next == Phase::over) owner_.download_over(*this);
}

// Blocking work with the next step on the loop, unless everybody has left meanwhile.
template <class T, class Work, class Next>
void SharedDownload::job(Work work, Next next) {
  ++jobs_;
  resources_.files.run<T>(
      std::move(work), [self = shared_from_this(), next = std::move(next)](std::exception_ptr error, T value) mutable {
        --self->jobs_;
        if (self->is_closed()) return self->wind_down();
        if (error) return self->broken(error);
        next(*self, std::move(value));
      });
}

void SharedDownload::start() {
  job<Look>(
      [paths = paths_, revision = request_.revision, file = request_.file] {
        Look look;
        look.cached = cached_file(paths, revision, file);
        const auto commit = known_commit(paths, revision);
        look.missing = !look.cached && commit && known_missing(paths, *commit, file);
        return look;
      },
      [](SharedDownload& self, const Look& look) { self.looked(look); });
}

void SharedDownload::add(std::stop_token stop, ProgressCallback on_progress, Completion<fs::path> done) {
  auto waiter = std::make_unique<Waiter>();
  waiter->id = next_id_++;
  waiter->on_progress = std::move(on_progress);
  waiter->done = std::move(done);
  waiters_.push_back(std::move(waiter));
  // Last: the callback runs at once where a stop was requested already.
  Waiter& last = *waiters_.back();
  last.on_stop.emplace(std::move(stop), [&loop = resources_.loop, download = weak_from_this(), id = last.id] {
    loop.post([download, id] {
      if (const auto self = download.lock()) self->leave(id, cancelled(self->request_));
    });
  });
}

void SharedDownload::leave(std::uint64_t id, const std::exception_ptr& error) {
  const auto at = std::find_if(waiters_.begin(), waiters_.end(), [&](const auto& one) { return one->id == id; });
  if (at == waiters_.end()) return;
  const std::unique_ptr<Waiter> waiter = std::move(*at);
  waiters_.erase(at);
  const bool last = waiters_.empty();
  if (last) enter(Phase::closed);
  waiter->done(error, {});
  if (last) wind_down();
}

void SharedDownload::leave_all(const std::exception_ptr& error) {
  const auto self = shared_from_this();
  while (!waiters_.empty()) leave(waiters_.front()->id, error);
  if (!is_closed()) enter(Phase::closed);
  wind_down();
}

void SharedDownload::looked(const Look& look) {
  if (request_.refetch) {
    if (request_.options->offline) return fail(std::make_exception_ptr(Error(Errc::offline, "offline mode is on")));
    return ask_hub(true);
  }
  const bool pinned = is_commit(request_.revision);
  const bool offline = request_.options->offline;
  if (look.cached && (pinned || offline)) return succeed(*look.cached, true);
  if (look.missing && (pinned || offline)) {
    return fail(std::make_exception_ptr(
        Error(Errc::entry_not_found, describe(request_) + ": the repository has no such file at that revision")));
  }
  cached_ = look.cached;
  if (offline) {
    HttpFailure failure;
    failure.code = Errc::offline;
    failure.message = "offline mode is on (HF_HUB_OFFLINE or --offline)";
    return unanswered(failure);
  }
  ask_hub(!cached_);
}

void SharedDownload::ask_hub(bool patiently) {
  try {
    check_reachable(*request_.options);
  } catch (const Error&) {
    return fail(std::current_exception());
  }
  enter(Phase::asking);
  Question question;
  question.url = file_url(request_.options->endpoint, request_.repo, request_.revision, request_.file);
  question.what = describe(request_);
  question.options = request_.options;
  question.retries = resources_.tuning.retries;
  if (!patiently) question.retries.retries = question.retries.retries_unreachable = 0;
  query_ = std::make_unique<Query>(resources_.loop, std::move(question),
                                   [this](std::optional<Answer> answer, std::optional<HttpFailure> failure) {
                                     const auto self = shared_from_this();
                                     const auto query = std::move(query_);
                                     answered(std::move(answer), std::move(failure));
                                   });
}

void SharedDownload::answered(std::optional<Answer> answer, std::optional<HttpFailure> failure) {
  if (failure) return unanswered(*failure);
  try {
    metadata_ = metadata_from(answer->head, {is_own_endpoint(request_.options->endpoint), request_.revision});
  } catch (const Error& error) {
    HttpFailure bad;
    bad.code = error.errc();
    bad.message = error.what();
    bad.context = error.context();
    return unanswered(bad);
  }
  prepare();
}

// hub.md's table of errors: which of them a cached copy may stand in for, and what is raised without one.
void SharedDownload::unanswered(const HttpFailure& failure) {
  if (failure.code == Errc::revision_not_found) return fail(failure.exception());
  if (failure.ambiguous && !cached_) return fail(failure.exception());
  if (failure.code == Errc::entry_not_found && !failure.ambiguous) {
    if (failure.commit.empty()) return fail(failure.exception());
    enter(Phase::preparing);
    return job<Nothing>(
        [paths = paths_, revision = request_.revision, commit = failure.commit, file = request_.file] {
          record_missing(paths, revision, commit, file);
          return Nothing{};
        },
        [failure](SharedDownload& self, Nothing) { self.fail(failure.exception()); });
  }
  if (cached_) return succeed(*cached_, true);
  if (failure.code == Errc::gated_repo || failure.code == Errc::repository_not_found ||
      failure.code == Errc::limit_exceeded || failure.code == Errc::resource_limit ||
      failure.code == Errc::out_of_memory) {
    return fail(failure.exception());
  }
  ErrorContext context = failure.context;
  context.file = request_.file;
  const std::string what = describe(request_);
  std::string why = failure.message;
  if (why.starts_with(what + ": ")) why.erase(0, what.size() + 2);
  context.cause = why;
  fail(std::make_exception_ptr(
      Error(Errc::local_entry_not_found,
            what + " is not in the cache " + paths_.cache_dir().string() + " and cannot be fetched: " + why,
            std::move(context))));
}

void SharedDownload::prepare() {
  enter(Phase::preparing);
  job<Place>(
      [paths = paths_, metadata = metadata_, request = request_] {
        Place place;
        const fs::path pointer = paths.pointer(metadata.commit, request.file);
        const bool there = is_file(pointer);
        place.wrong = there && !has_size(pointer, metadata);
        place.pointer = there && !place.wrong && !request.refetch;
        if (!place.pointer) {
          make_folders(paths, metadata.commit, request.file);
          return place;
        }
        try {
          write_ref(paths, request.revision, metadata.commit);
        } catch (const Error&) {
          return place;  // a read-only cache serves what it has
        }
        return place;
      },
      [](SharedDownload& self, const Place& place) {
        const fs::path pointer = self.paths_.pointer(self.metadata_.commit, self.request_.file);
        if (place.pointer) return self.succeed(pointer, true);
        if (place.wrong) {
          log(LogLevel::warning, pointer.string() + " has another size than the hub names; it is fetched again");
          self.cached_.reset();
        }
        self.try_lock();
      });
}

void SharedDownload::try_lock() {
  enter(Phase::locking);
  job<Place>(
      [paths = paths_, metadata = metadata_, request = request_] {
        Place place;
        if (auto lock = FileLock::try_acquire(paths.lock(metadata.etag))) {
          place.lock = std::make_shared<FileLock>(std::move(*lock));
          const auto sound = [&](const fs::path& path, const std::string& name) {
            if (!request.refetch && has_size(path, metadata)) return true;
            return !name.empty() && has_hash(path, name);
          };
          const fs::path pointer = paths.pointer(metadata.commit, request.file);
          const std::string name = metadata.verifiable ? metadata.etag : BlobIndex(paths).blob_of(follow(pointer));
          place.pointer = is_file(pointer) && sound(pointer, name);
          place.blob =
              metadata.verifiable && has_blob(paths, metadata.etag) && sound(paths.blob(metadata.etag), metadata.etag);
        }
        return place;
      },
      [](SharedDownload& self, const Place& place) {
        if (place.lock) return self.locked(place);
        self.lock_timer_ = self.resources_.loop.after(self.resources_.tuning.lock_poll, [&self] { self.try_lock(); });
      });
}

void SharedDownload::locked(const Place& place) {
  lock_ = place.lock;
  if (!place.pointer && !place.blob) return fetch();
  enter(Phase::storing);
  job<Nothing>(
      [paths = paths_, metadata = metadata_, request = request_, linked = place.pointer] {
        if (!linked) link_blob(paths, metadata.commit, request.file, metadata.etag, request.options->symlinks);
        write_ref(paths, request.revision, metadata.commit);
        return Nothing{};
      },
      [](SharedDownload& self, Nothing) {
        self.succeed(self.paths_.pointer(self.metadata_.commit, self.request_.file), true);
      });
}

void SharedDownload::fetch() {
  enter(Phase::fetching);
  TransferJob transfer_job{
      describe(request_), request_.file,
      request_.options,   paths_,
      metadata_,          file_url(request_.options->endpoint, request_.repo, metadata_.commit, request_.file)};
  transfer_ = std::make_shared<Transfer>(resources_, std::move(transfer_job),
                                         std::shared_ptr<TransferOwner>(shared_from_this(), this));
  transfer_->start();
}

void SharedDownload::transfer_ended(std::exception_ptr error, Received received) {
  transfer_.reset();
  if (is_closed()) return wind_down();
  if (error) return broken(error);
  if (received.checked != Received::Checked::by_hash) remark(received.checked);
  enter(Phase::storing);
  job<Nothing>(
      [paths = paths_, metadata = metadata_, request = request_, received = std::move(received)] {
        if (request.options->symlinks) {
          received.file->publish(paths.blob(received.blob));
          link_blob(paths, metadata.commit, request.file, received.blob, true);
        } else {
          received.file->publish(paths.pointer(metadata.commit, request.file));
        }
        write_ref(paths, request.revision, metadata.commit);
        return Nothing{};
      },
      [](SharedDownload& self, Nothing) {
        self.succeed(self.paths_.pointer(self.metadata_.commit, self.request_.file), false);
      });
}

// Once for each repository.
void SharedDownload::remark(Received::Checked checked) {
  const HubOptions& options = *request_.options;
  if (!resources_.remarked.insert(options.endpoint + " " + request_.repo).second) return;
  const std::string how = checked == Received::Checked::by_plain_sha1
                              ? "by plain sha1, which was checked, and not by the hub's own hashes"
                              : "by etags that are no hashes of their content, so that they cannot be verified";
  log(LogLevel::warning, request_.repo + ": the mirror " + redacted(options.endpoint) + " names files " + how + " (" +
                             request_.file + ": '" + printable_line(metadata_.announced, 100) + "')");
}

void SharedDownload::transfer_progressed(std::uint64_t bytes, std::uint64_t total) {
  const auto now = EventLoop::Clock::now();
  if (now - reported_ < resources_.tuning.progress_every) return;
  reported_ = now;
  Progress progress;
  progress.repo = request_.repo;
  progress.file = request_.file;
  progress.bytes = bytes;
  progress.total = total;
  progress.bytes_per_second = rate_.update(now, bytes);
  for (const auto& waiter : waiters_) {
    if (const auto error = waiter->tell(progress)) {
      // Not from here: the transfer is in the middle of a call that may be the last that it is wanted for.
      resources_.loop.post([download = weak_from_this(), id = waiter->id, error] {
        if (const auto self = download.lock()) self->leave(id, error);
      });
    }
  }
}

void SharedDownload::succeed(const fs::path& path, bool from_cache) {
  log(LogLevel::debug, describe(request_) + (from_cache ? ": in the cache, " : ": fetched to ") + path.string());
  enter(Phase::telling);
  job<std::uint64_t>([path] { return size_of(path); },
                     [path, from_cache](SharedDownload& self, std::uint64_t size) {
                       Progress progress;
                       progress.repo = self.request_.repo;
                       progress.file = self.request_.file;
                       progress.bytes = progress.total = size;
                       progress.finished = true;
                       progress.from_cache = from_cache;
                       if (!from_cache) progress.bytes_per_second = self.rate_.update(EventLoop::Clock::now(), size);
                       auto waiters = std::move(self.waiters_);
                       self.waiters_.clear();
                       self.enter(Phase::closed);
                       for (const auto& waiter : waiters) {
                         waiter->on_stop.reset();
                         const auto error = waiter->tell(progress);
                         waiter->done(error, error ? fs::path() : path);
                       }
                       self.wind_down();
                     });
}

// What cannot be stored is no reason to go without what is there: a branch that moved on, say, and a cache that is
// read-only.
void SharedDownload::broken(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    if (known.errc() != Errc::io_error || !cached_) return fail(error);
    log(LogLevel::warning, describe(request_) + ": the hub has another version, which cannot be stored (" +
                               known.what() + "); going on with the cached one");
    return succeed(*std::exchange(cached_, std::nullopt), true);
  } catch (...) {
    return fail(error);
  }
}

// A file known to be damaged is an error of its own, whatever kept it from being fetched again.
std::exception_ptr SharedDownload::still_damaged(const std::exception_ptr& error) const {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    ErrorContext context = known.context();
    context.cause = known.what();
    context.file = paths_.pointer(is_commit(request_.revision) ? request_.revision : metadata_.commit, request_.file);
    return std::make_exception_ptr(Error(
        Errc::integrity,
        context.file + " is damaged: its bytes do not have the hash in its name. It could not be fetched again (" +
            context.cause + "); `stella cache verify --repair` does so when the hub can be reached",
        context));
  } catch (...) {
    return std::current_exception();
  }
}

void SharedDownload::fail(std::exception_ptr error) {
  if (request_.refetch) error = still_damaged(error);
  const auto self = shared_from_this();
  auto waiters = std::move(waiters_);
  waiters_.clear();
  enter(Phase::closed);
  for (const auto& waiter : waiters) {
    waiter->on_stop.reset();
    waiter->done(error, {});
  }
  wind_down();
}

// The lock goes last: until then the blob's partial file is ours.
void SharedDownload::wind_down() {
  if (transfer_) return transfer_->stop();
  if (jobs_ > 0 || phase_ == Phase::over) return;
  lock_.reset();
  enter(Phase::over);
}

}  // namespace stella::hub
