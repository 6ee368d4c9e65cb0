#include "hub/flight.hpp"

#include "hub/cache_store.hpp"
#include "hub/request.hpp"
#include "hub/url.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

Error left(Errc code, const std::string& what) {
  return {code, what + (code == Errc::cancelled ? ": the request was cancelled" : ": the runtime is shutting down")};
}

std::uint64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace

std::string flight_key(const FileRequest& request) {
  const HubOptions& options = *request.options;
  std::string key;
  for (const std::string& part :
       {options.cache_dir.string(), options.endpoint, request.repo, request.revision, request.file, options.token,
        std::string(options.offline ? "offline" : ""), std::string(options.symlinks ? "" : "copies")}) {
    key += part;
    key += '\0';
  }
  return key;
}

struct Flight::Passenger {
  std::uint64_t id = 0;
  ProgressCallback on_progress;
  Completion<fs::path> done;
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
};

/// What the cache alone says.
struct Flight::Look {
  std::optional<fs::path> cached;
  bool missing = false;  ///< The hub once said that this commit has no such file.
};

/// What lies where the file shall be.
struct Flight::Place {
  bool pointer = false;
  bool blob = false;
  std::shared_ptr<FileLock> lock;  ///< Null while another process holds it.
};

Flight::Flight(Services& services, FileRequest request, UniqueFunction<void()> closed, UniqueFunction<void()> landed)
    : services_(services),
      request_(std::move(request)),
      paths_(request_.options->cache_dir, request_.repo),
      closed_(std::move(closed)),
      landed_(std::move(landed)) {}

Flight::~Flight() = default;

// Blocking work with the next step on the loop, unless everybody has left meanwhile.
template <class T, class Work, class Next>
void Flight::job(Work work, Next next) {
  ++jobs_;
  services_.files.run<T>(
      std::move(work), [self = shared_from_this(), next = std::move(next)](std::exception_ptr error, T value) mutable {
        --self->jobs_;
        if (self->over_) return self->wind_down();
        if (error) return self->fail(error);
        next(*self, std::move(value));
      });
}

void Flight::start() {
  job<Look>(
      [paths = paths_, revision = request_.revision, file = request_.file] {
        Look look;
        look.cached = cached_file(paths, revision, file);
        const auto commit = known_commit(paths, revision);
        look.missing = !look.cached && commit && known_missing(paths, *commit, file);
        return look;
      },
      [](Flight& self, const Look& look) { self.looked(look); });
}

void Flight::add(std::stop_token stop, ProgressCallback on_progress, Completion<fs::path> done) {
  auto passenger = std::make_unique<Passenger>();
  passenger->id = next_id_++;
  passenger->on_progress = std::move(on_progress);
  passenger->done = std::move(done);
  passengers_.push_back(std::move(passenger));
  // Last: the callback runs at once where a stop was requested already.
  Passenger& last = *passengers_.back();
  last.on_stop.emplace(std::move(stop), [&loop = services_.loop, flight = weak_from_this(), id = last.id] {
    loop.post([flight, id] {
      if (const auto self = flight.lock()) self->leave(id, Errc::cancelled);
    });
  });
}

void Flight::leave(std::uint64_t id, Errc code) {
  const auto at = std::find_if(passengers_.begin(), passengers_.end(), [&](const auto& one) { return one->id == id; });
  if (at == passengers_.end()) return;
  const std::unique_ptr<Passenger> passenger = std::move(*at);
  passengers_.erase(at);
  const bool last = passengers_.empty();
  if (last) close();
  passenger->done(std::make_exception_ptr(left(code, describe(request_))), {});
  if (last) wind_down();
}

void Flight::leave_all(Errc code) {
  const auto self = shared_from_this();
  while (!passengers_.empty()) leave(passengers_.front()->id, code);
}

void Flight::looked(const Look& look) {
  const bool pinned = is_commit(request_.revision);
  const bool offline = request_.options->offline;
  if (look.cached && (pinned || offline)) return succeed(*look.cached, true);
  if (look.missing && (pinned || offline)) {
    return fail(std::make_exception_ptr(
        Error(Errc::entry_not_found, describe(request_) + ": the repository has no such file at that revision")));
  }
  cached_ = look.cached;
  if (offline) {
    Failure failure;
    failure.code = Errc::offline;
    failure.message = "offline mode (HF_HUB_OFFLINE) is on";
    return unanswered(failure);
  }
  ask_hub(!cached_);
}

void Flight::ask_hub(bool patiently) {
  Question question;
  question.url = file_url(request_.options->endpoint, request_.repo, request_.revision, request_.file);
  question.what = describe(request_);
  question.options = request_.options;
  question.retries = services_.tuning.retries;
  if (!patiently) question.retries.retries = question.retries.retries_unreachable = 0;
  query_ = std::make_unique<Query>(services_.loop, std::move(question),
                                   [this](std::optional<Answer> answer, std::optional<Failure> failure) {
                                     const auto self = shared_from_this();
                                     const auto query = std::move(query_);
                                     answered(std::move(answer), std::move(failure));
                                   });
}

void Flight::answered(std::optional<Answer> answer, std::optional<Failure> failure) {
  if (failure) return unanswered(*failure);
  try {
    metadata_ = metadata_from(answer->head);
  } catch (const Error& error) {
    Failure bad;
    bad.code = error.errc();
    bad.message = error.what();
    bad.context = error.context();
    return unanswered(bad);
  }
  prepare();
}

// hub.md's table of errors: which of them a cached copy may stand in for, and what is raised without one.
void Flight::unanswered(const Failure& failure) {
  if (failure.code == Errc::revision_not_found) return fail(failure.exception());
  if (failure.code == Errc::entry_not_found) {
    if (failure.commit.empty()) return fail(failure.exception());
    return job<Nothing>(
        [paths = paths_, revision = request_.revision, commit = failure.commit, file = request_.file] {
          record_missing(paths, revision, commit, file);
          return Nothing{};
        },
        [failure](Flight& self, Nothing) { self.fail(failure.exception()); });
  }
  if (cached_) return succeed(*cached_, true);
  if (failure.code == Errc::gated_repo || failure.code == Errc::repository_not_found) return fail(failure.exception());
  ErrorContext context = failure.context;
  context.file = request_.file;
  context.cause = failure.message;
  fail(std::make_exception_ptr(Error(Errc::local_entry_not_found,
                                     describe(request_) + " is not in the cache " + paths_.cache_dir().string() +
                                         " and the hub could not give it: " + failure.message,
                                     std::move(context))));
}

void Flight::prepare() {
  job<Place>(
      [paths = paths_, metadata = metadata_, revision = request_.revision, file = request_.file] {
        Place place;
        place.pointer = is_file(paths.pointer(metadata.commit, file));
        if (!place.pointer) {
          make_folders(paths, metadata.commit, file);
          return place;
        }
        try {
          write_ref(paths, revision, metadata.commit);
        } catch (const Error&) {
          return place;  // a read-only cache serves what it has
        }
        return place;
      },
      [](Flight& self, const Place& place) {
        if (place.pointer) return self.succeed(self.paths_.pointer(self.metadata_.commit, self.request_.file), true);
        self.try_lock();
      });
}

void Flight::try_lock() {
  lock_timer_.reset();
  job<Place>(
      [paths = paths_, metadata = metadata_, file = request_.file] {
        Place place;
        if (auto lock = FileLock::try_acquire(paths.lock(metadata.etag))) {
          place.lock = std::make_shared<FileLock>(std::move(*lock));
          place.pointer = is_file(paths.pointer(metadata.commit, file));
          place.blob = has_blob(paths, metadata.etag);
        }
        return place;
      },
      [](Flight& self, const Place& place) {
        if (place.lock) return self.locked(place);
        self.lock_timer_ = self.services_.loop.after(self.services_.tuning.lock_poll, [&self] { self.try_lock(); });
      });
}

void Flight::locked(const Place& place) {
  lock_ = place.lock;
  if (!place.pointer && !place.blob) return download();
  job<Nothing>(
      [paths = paths_, metadata = metadata_, request = request_] {
        link_blob(paths, metadata.commit, request.file, metadata.etag, request.options->symlinks);
        write_ref(paths, request.revision, metadata.commit);
        return Nothing{};
      },
      [](Flight& self, Nothing) {
        self.succeed(self.paths_.pointer(self.metadata_.commit, self.request_.file), true);
      });
}

void Flight::download() {
  TransferJob transfer_job{describe(request_), request_.options, paths_, metadata_,
                           file_url(request_.options->endpoint, request_.repo, metadata_.commit, request_.file)};
  transfer_ = std::make_shared<Transfer>(
      services_, std::move(transfer_job), [this](std::uint64_t bytes, std::uint64_t total) { report(bytes, total); },
      [self = shared_from_this()](std::exception_ptr error, std::shared_ptr<PartialFile> file) {
        self->downloaded(error, std::move(file));
      });
  transfer_->start();
}

void Flight::downloaded(std::exception_ptr error, std::shared_ptr<PartialFile> file) {
  transfer_.reset();
  if (over_) return wind_down();
  if (error) return fail(error);
  job<Nothing>(
      [paths = paths_, metadata = metadata_, request = request_, file] {
        if (request.options->symlinks) {
          file->publish(paths.blob(metadata.etag));
          link_blob(paths, metadata.commit, request.file, metadata.etag, true);
        } else {
          file->publish(paths.pointer(metadata.commit, request.file));
        }
        write_ref(paths, request.revision, metadata.commit);
        return Nothing{};
      },
      [](Flight& self, Nothing) {
        self.succeed(self.paths_.pointer(self.metadata_.commit, self.request_.file), false);
      });
}

void Flight::report(std::uint64_t bytes, std::uint64_t total) {
  const auto now = EventLoop::Clock::now();
  if (now - reported_ < services_.tuning.progress_every) return;
  reported_ = now;
  Progress progress;
  progress.repo = request_.repo;
  progress.file = request_.file;
  progress.bytes = bytes;
  progress.total = total;
  progress.bytes_per_second = rate_.update(now, bytes);
  for (const auto& passenger : passengers_) {
    if (passenger->on_progress) passenger->on_progress(progress);
  }
}

void Flight::succeed(const fs::path& path, bool from_cache) {
  job<std::uint64_t>([path] { return size_of(path); },
                     [path, from_cache](Flight& self, std::uint64_t size) {
                       Progress progress;
                       progress.repo = self.request_.repo;
                       progress.file = self.request_.file;
                       progress.bytes = progress.total = size;
                       progress.finished = true;
                       progress.from_cache = from_cache;
                       if (!from_cache) progress.bytes_per_second = self.rate_.update(EventLoop::Clock::now(), size);
                       auto passengers = std::move(self.passengers_);
                       self.passengers_.clear();
                       self.close();
                       for (const auto& passenger : passengers) {
                         passenger->on_stop.reset();
                         if (passenger->on_progress) passenger->on_progress(progress);
                         passenger->done(nullptr, path);
                       }
                       self.wind_down();
                     });
}

void Flight::fail(std::exception_ptr error) {
  const auto self = shared_from_this();
  auto passengers = std::move(passengers_);
  passengers_.clear();
  close();
  for (const auto& passenger : passengers) {
    passenger->on_stop.reset();
    passenger->done(error, {});
  }
  wind_down();
}

// Nobody waits any more; a new request of the same key starts a new flight.
void Flight::close() {
  over_ = true;
  query_.reset();
  if (lock_timer_) services_.loop.cancel(*lock_timer_);
  lock_timer_.reset();
  if (closed_) std::exchange(closed_, {})();
}

// The lock goes last: until then the blob's partial file is ours.
void Flight::wind_down() {
  if (transfer_) return transfer_->stop();
  if (jobs_ > 0 || !landed_) return;
  lock_.reset();
  std::exchange(landed_, {})();
}

}  // namespace stella::hub
