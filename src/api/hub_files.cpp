#include "api/hub_files.hpp"

#include "base/repo_names.hpp"
#include "base/thread_pool.hpp"
#include "stella/error.hpp"

#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace stella::api {
namespace {

std::exception_ptr closed_error() {
  return std::make_exception_ptr(Error(Errc::shut_down, "the runtime is shutting down"));
}

// The commit of ".../snapshots/COMMIT/FILE", as every file of the cache is called; empty for other paths.
std::string commit_of(const std::filesystem::path& path, const std::string& file) {
  const std::string& text = path.native();
  if (text.size() <= file.size() || !text.ends_with("/" + file)) return {};
  std::string commit = std::filesystem::path(text.substr(0, text.size() - file.size() - 1)).filename();
  return is_commit(commit) ? commit : std::string();
}

// All files of one model come from one commit, also where a branch moves in the middle of a load: the first file that
// arrives names it. What was asked for before that and came from another commit is asked for again. Thread-safe.
class HubFiles final : public engine::ModelFiles, public std::enable_shared_from_this<HubFiles> {
 public:
  HubFiles(std::shared_ptr<HubGate> gate, HubSource source) : gate_(std::move(gate)), source_(std::move(source)) {}

  void get(std::string file, std::stop_token stop, Completion<std::filesystem::path> done) override {
    const std::string commit = this->commit();
    if (!commit.empty()) return ask(std::move(file), commit, std::move(stop), std::move(done));
    auto name = file;
    ask(std::move(name), source_.revision, stop,
        [self = shared_from_this(), file = std::move(file), stop, done = std::move(done)](
            std::exception_ptr error, std::filesystem::path path) mutable {
          const std::string agreed = self->agree_on(error ? std::string() : commit_of(path, file));
          const bool absent = error && engine::is_entry_not_found(error);
          const bool elsewhere = !agreed.empty() && (absent || (!error && commit_of(path, file) != agreed));
          if (!elsewhere) return done(std::move(error), std::move(path));
          self->ask(std::move(file), agreed, std::move(stop), std::move(done));
        });
  }

  void mend(std::stop_token stop, Completion<bool> done) override {
    auto work = std::make_shared<Mending>();
    work->stop = std::move(stop);
    work->done = std::move(done);
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [file, commit] : given_) {
        if (!sound_.contains(file)) work->files.emplace_back(file, commit);
      }
    }
    const bool posted = gate_->post([self = shared_from_this(), work] { self->mend_next(work); });
    if (!posted) work->done(closed_error(), false);
  }

  void list(std::stop_token stop, Completion<std::vector<std::string>> done) override {
    gate_->list_files(
        request({}, agreed_revision()), std::move(stop),
        [done = std::move(done)](std::exception_ptr error, const std::vector<hub::RepoFile>& files) mutable {
          std::vector<std::string> paths;
          paths.reserve(files.size());
          for (const hub::RepoFile& file : files) paths.push_back(file.path);
          done(std::move(error), std::move(paths));
        });
  }

  const std::string& source() const noexcept override { return source_.repo; }
  bool is_local() const noexcept override { return false; }

 private:
  /// Files to look at, one after the other.
  struct Mending {
    std::stop_token stop{};
    Completion<bool> done{};
    std::vector<std::pair<std::string, std::string>> files{};  // name and commit
    bool replaced = false;
  };

  void ask(std::string file, std::string revision, std::stop_token stop, Completion<std::filesystem::path> done) {
    auto wanted = request(file, std::move(revision));
    gate_->get_file(std::move(wanted), std::move(stop), source_.on_progress,
                    [self = shared_from_this(), file = std::move(file), done = std::move(done)](
                        std::exception_ptr error, std::filesystem::path path) mutable {
                      if (!error) self->given(file, commit_of(path, file));
                      done(std::move(error), std::move(path));
                    });
  }

  // On the pool.
  void mend_next(const std::shared_ptr<Mending>& work) try {
    while (!work->files.empty()) {
      if (work->stop.stop_requested()) throw Error(Errc::cancelled, "cancelled while files were being checked");
      const auto [file, commit] = work->files.back();
      work->files.pop_back();
      auto wanted = request(file, commit);
      const hub::CachedCopy copy = hub::check_cached(wanted);
      if (copy == hub::CachedCopy::sound) known_sound(file);
      if (copy != hub::CachedCopy::damaged && (copy == hub::CachedCopy::sound || source_.options->offline)) continue;
      wanted.refetch = true;
      return gate_->get_file(
          std::move(wanted), work->stop, source_.on_progress,
          [self = shared_from_this(), work, copy, file = file](std::exception_ptr error, const std::filesystem::path&) {
            self->mended(work, file, copy, std::move(error));
          });
    }
    work->done(nullptr, work->replaced);
  } catch (...) {
    work->done(std::current_exception(), false);
  }

  void mended(const std::shared_ptr<Mending>& work, const std::string& file, hub::CachedCopy before,
              std::exception_ptr error) {
    // Of what nothing here says how it should be, only the hub can: where it does not, nothing is known.
    if (error && before == hub::CachedCopy::damaged) return work->done(std::move(error), false);
    if (!error) {
      work->replaced = true;
      known_sound(file);
    }
    if (!gate_->post([self = shared_from_this(), work] { self->mend_next(work); })) work->done(closed_error(), false);
  }

  void given(const std::string& file, std::string commit) {
    const std::lock_guard lock(mutex_);
    given_.insert_or_assign(file, std::move(commit));
  }
  void known_sound(const std::string& file) {
    const std::lock_guard lock(mutex_);
    sound_.insert(file);
  }

  hub::FileRequest request(std::string file, std::string revision) const {
    return {.repo = source_.repo, .revision = std::move(revision), .file = std::move(file), .options = source_.options};
  }

  std::string commit() const {
    const std::lock_guard lock(mutex_);
    return commit_;
  }
  std::string agreed_revision() const {
    const std::string commit = this->commit();
    return commit.empty() ? source_.revision : commit;
  }
  /// The commit of all files, which is `seen` where there was none before.
  std::string agree_on(std::string seen) {
    const std::lock_guard lock(mutex_);
    if (commit_.empty()) commit_ = std::move(seen);
    return commit_;
  }

  const std::shared_ptr<HubGate> gate_;
  const HubSource source_;
  mutable std::mutex mutex_;
  std::string commit_;                        // guarded by mutex_; empty until the first file has arrived
  std::map<std::string, std::string> given_;  // guarded by mutex_; the files that get() gave, with their commits
  std::set<std::string> sound_;               // guarded by mutex_; those of them whose bytes were found right
};

}  // namespace

bool HubGate::enter() {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  ++calls_;
  return true;
}

void HubGate::leave() {
  const std::lock_guard lock(mutex_);
  if (--calls_ == 0) idle_.notify_all();
}

template <class Use>
std::exception_ptr HubGate::with_client(Use use) {
  if (!enter()) return closed_error();
  std::exception_ptr error;
  try {
    hub::Client* client = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (!client_) client_ = std::make_unique<hub::Client>(pool_);
      client = client_.get();
    }
    use(*client);
  } catch (...) {
    error = std::current_exception();
  }
  leave();
  return error;
}

void HubGate::get_file(hub::FileRequest request, std::stop_token stop, ProgressCallback on_progress,
                       Completion<std::filesystem::path> done) {
  const auto error = with_client([&](hub::Client& client) {
    client.get_file(std::move(request), std::move(stop), std::move(on_progress), std::move(done));
  });
  if (error && done) done(error, {});
}

void HubGate::list_files(hub::FileRequest request, std::stop_token stop, Completion<std::vector<hub::RepoFile>> done) {
  const auto error = with_client(
      [&](hub::Client& client) { client.list_files(std::move(request), std::move(stop), std::move(done)); });
  if (error && done) done(error, {});
}

bool HubGate::post(UniqueFunction<void()> job) {
  if (!enter()) return false;
  pool_.post(std::move(job));
  leave();
  return true;
}

void HubGate::close() {
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    idle_.wait(lock, [this] { return calls_ == 0; });
  }
  client_.reset();
}

std::shared_ptr<engine::ModelFiles> hub_files(std::shared_ptr<HubGate> gate, HubSource source) {
  return std::make_shared<HubFiles>(std::move(gate), std::move(source));
}

}  // namespace stella::api
