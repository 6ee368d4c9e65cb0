#include "api/hub_files.hpp"

#include "stella/error.hpp"

#include <exception>
#include <utility>

namespace stella::api {
namespace {

std::exception_ptr closed_error() {
  return std::make_exception_ptr(Error(Errc::shut_down, "the runtime is shutting down"));
}

class HubFiles final : public engine::ModelFiles {
 public:
  HubFiles(std::shared_ptr<HubGate> gate, HubSource source) : gate_(std::move(gate)), source_(std::move(source)) {}

  void get(std::string file, std::stop_token stop, Completion<std::filesystem::path> done) override {
    gate_->get_file(request(std::move(file)), std::move(stop), source_.on_progress, std::move(done));
  }

  void list(std::stop_token stop, Completion<std::vector<std::string>> done) override {
    gate_->list_files(
        request({}), std::move(stop),
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
  hub::FileRequest request(std::string file) const {
    return {.repo = source_.repo, .revision = source_.revision, .file = std::move(file), .options = source_.options};
  }

  const std::shared_ptr<HubGate> gate_;
  const HubSource source_;
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
