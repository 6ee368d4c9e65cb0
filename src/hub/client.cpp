#include "hub/client.hpp"

#include "base/thread.hpp"
#include "base/typed_error.hpp"
#include "hub/cache/links.hpp"
#include "hub/cache/store.hpp"
#include "hub/download/request.hpp"
#include "hub/download/shared_download.hpp"
#include "hub/listing.hpp"

#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <utility>

namespace stella::hub {

struct Client::Impl final : DownloadOwner {
  Impl(ThreadPool& pool, const ClientTuning& tuning) : resources(pool, tuning) {
    goodbye.emplace_back(
        [this] { give_up(std::make_exception_ptr(Error(Errc::shut_down, "the runtime is shutting down"))); });
    thread = start_thread("stella-hub", [this] {
      resources.loop.run([this] { return downloads.empty() && listings.empty() && resources.files.pending() == 0; },
                         [this](std::exception_ptr error) { give_up(typed_error(std::move(error))); });
    });
  }

  ~Impl() {
    resources.loop.post(std::move(goodbye));
    resources.loop.stop();
    thread.join();
  }

  /// Ends everything: at the end, and once the loop has thrown for lack of memory, for then nobody knows where things
  /// stand, and whoever waits shall not wait for ever.
  void give_up(const std::exception_ptr& error) noexcept {
    constexpr int kTries = 100;
    for (int i = 0; i < kTries; ++i) {
      try {
        const auto waiting = downloads;
        for (const auto& download : waiting) download->leave_all(error);
        const auto listed = listings;
        for (const auto& listing : listed) listing->leave(error);
        return;
      } catch (...) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }

  void get_file(FileRequest request, std::stop_token stop, ProgressCallback on_progress,
                Completion<std::filesystem::path> done) {
    const std::string key = download_key(request);
    if (const auto known = by_key.find(key); known != by_key.end()) {
      return known->second->add(std::move(stop), std::move(on_progress), std::move(done));
    }
    const auto download = std::make_shared<SharedDownload>(resources, *this, std::move(request));
    try {
      downloads.insert(download);
      by_key.emplace(key, download.get());
      download->add(std::move(stop), std::move(on_progress), std::move(done));
      download->start();
    } catch (...) {
      download->leave_all(typed_error(std::current_exception()));
      throw;
    }
  }

  void download_closed(SharedDownload& download) override {
    std::erase_if(by_key, [&](const auto& one) { return one.second == &download; });
  }
  void download_over(SharedDownload& download) override {
    std::erase_if(downloads, [&](const auto& one) { return one.get() == &download; });
  }

  void list_files(FileRequest request, std::stop_token stop, Completion<std::vector<RepoFile>> done) {
    auto address = std::make_shared<Listing*>(nullptr);
    auto listing = std::make_shared<Listing>(resources, std::move(request), std::move(done), [this, address] {
      std::erase_if(listings, [&](const auto& one) { return one.get() == *address; });
    });
    *address = listing.get();
    listings.insert(listing);
    try {
      listing->start(std::move(stop));
    } catch (...) {
      listing->leave(typed_error(std::current_exception()));
      throw;
    }
  }

  Resources resources;
  // Loop thread only.
  std::set<std::shared_ptr<SharedDownload>> downloads;
  std::map<std::string, SharedDownload*> by_key;  // those that take more waiters
  std::set<std::shared_ptr<Listing>> listings;
  EventLoop::Tasks goodbye;  // the destructor's task
  std::thread thread;
};

Client::Client(ThreadPool& file_pool) : Client(file_pool, ClientTuning{}) {}

Client::Client(ThreadPool& file_pool, const ClientTuning& tuning) : impl_(std::make_unique<Impl>(file_pool, tuning)) {}

Client::~Client() = default;

void Client::get_file(FileRequest request, std::stop_token stop, ProgressCallback on_progress,
                      Completion<std::filesystem::path> done) {
  impl_->resources.loop.post([impl = impl_.get(), request = std::move(request), stop = std::move(stop),
                              on_progress = std::move(on_progress), done = std::move(done)]() mutable {
    try {
      request = checked(std::move(request), true);
    } catch (...) {
      return done(std::current_exception(), {});
    }
    impl->get_file(std::move(request), std::move(stop), std::move(on_progress), std::move(done));
  });
}

void Client::list_files(FileRequest request, std::stop_token stop, Completion<std::vector<RepoFile>> done) {
  impl_->resources.loop.post(
      [impl = impl_.get(), request = std::move(request), stop = std::move(stop), done = std::move(done)]() mutable {
        try {
          request.file.clear();
          request = checked(std::move(request), false);
        } catch (...) {
          return done(std::current_exception(), {});
        }
        impl->list_files(std::move(request), std::move(stop), std::move(done));
      });
}

CachedCopy check_cached(const FileRequest& request) {
  const FileRequest good = checked(request, true);
  const RepoPaths paths(good.options->cache_dir, good.repo);
  const auto file = cached_file(paths, good.revision, good.file);
  const std::string name = file ? BlobIndex(paths).blob_of(follow(*file)) : std::string();
  if (name.empty()) return CachedCopy::unknown;
  return has_hash(*file, name) ? CachedCopy::sound : CachedCopy::damaged;
}

}  // namespace stella::hub
