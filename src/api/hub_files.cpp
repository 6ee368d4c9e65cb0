#include "api/hub_files.hpp"

#include "hub/cache_paths.hpp"
#include "stella/error.hpp"

#include <exception>
#include <mutex>
#include <string>
#include <utility>

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
  return hub::is_commit(commit) ? commit : std::string();
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
  void ask(std::string file, std::string revision, std::stop_token stop, Completion<std::filesystem::path> done) {
    gate_->get_file(request(std::move(file), std::move(revision)), std::move(stop), source_.on_progress,
                    std::move(done));
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
  std::string commit_;  // guarded by mutex_; empty until the first file has arrived
};

}  // namespace

template <class Use>
bool HubGate::with_client(Use use) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (!client_) client_ = std::make_unique<hub::Client>(pool_);
    ++calls_;
  }
  use(*client_);
  const std::lock_guard lock(mutex_);
  if (--calls_ == 0) idle_.notify_all();
  return true;
}

void HubGate::get_file(hub::FileRequest request, std::stop_token stop, ProgressCallback on_progress,
                       Completion<std::filesystem::path> done) {
  const bool asked = with_client([&](hub::Client& client) {
    client.get_file(std::move(request), std::move(stop), std::move(on_progress), std::move(done));
  });
  if (!asked) done(closed_error(), {});
}

void HubGate::list_files(hub::FileRequest request, std::stop_token stop, Completion<std::vector<hub::RepoFile>> done) {
  const bool asked = with_client(
      [&](hub::Client& client) { client.list_files(std::move(request), std::move(stop), std::move(done)); });
  if (!asked) done(closed_error(), {});
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
