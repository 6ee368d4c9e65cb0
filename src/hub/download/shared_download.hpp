// One file on its way to all who asked for it: cache, metadata, lock, transfer, links.
#pragma once

#include "hub/cache/file_lock.hpp"
#include "hub/download/rate_meter.hpp"
#include "hub/download/request.hpp"
#include "hub/download/transfer.hpp"
#include "hub/http/query.hpp"
#include "stella/options.hpp"

#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::hub {

/// Equal keys, equal answers: one download serves all requests of a key.
std::string download_key(const FileRequest& request);

class SharedDownload;

class DownloadOwner {
 public:
  /// It takes no more waiters.
  virtual void download_closed(SharedDownload& download) = 0;
  /// After that: it holds nothing any more, and may be destroyed.
  virtual void download_over(SharedDownload& download) = 0;

 protected:
  ~DownloadOwner() = default;
};

/// Loop thread only; owned by a shared_ptr. Every waiter gets exactly one completion.
class SharedDownload final : public std::enable_shared_from_this<SharedDownload>, private TransferOwner {
 public:
  SharedDownload(Resources& resources, DownloadOwner& owner, FileRequest request);
  SharedDownload(const SharedDownload&) = delete;
  SharedDownload& operator=(const SharedDownload&) = delete;
  ~SharedDownload();

  void start();
  void add(std::stop_token stop, ProgressCallback on_progress, Completion<std::filesystem::path> done);
  void leave_all(const std::exception_ptr& error);

 private:
  /// In order, but that what is in the cache goes to `telling` at once, and that all may go to `closed`.
  enum class Phase : std::uint8_t {
    looking,    // into the cache
    asking,     // the hub
    preparing,  // folders; noting what the hub has not
    locking,    // the blob, against other processes
    fetching,
    storing,  // the blob and the names that lead to it
    telling,  // the size is looked up
    closed,   // nobody waits any more; what still runs is let come to its end
    over
  };
  struct Waiter;
  struct Look;
  struct Place;

  void enter(Phase next);
  bool is_closed() const noexcept { return phase_ >= Phase::closed; }

  template <class T, class Work, class Next>
  void job(Work work, Next next);
  void leave(std::uint64_t id, const std::exception_ptr& error);
  void looked(const Look& look);
  void ask_hub(bool patiently);
  void answered(std::optional<Answer> answer, std::optional<HttpFailure> failure);
  void unanswered(const HttpFailure& failure);
  void prepare();
  void try_lock();
  void locked(const Place& place);
  void fetch();
  void transfer_progressed(std::uint64_t bytes, std::uint64_t total) override;
  void transfer_ended(std::exception_ptr error, Received received) override;
  void remark(Received::Checked checked);
  void succeed(const std::filesystem::path& path, bool from_cache);
  void broken(const std::exception_ptr& error);
  std::exception_ptr still_damaged(const std::exception_ptr& error) const;
  void fail(std::exception_ptr error);
  void wind_down();

  Resources& resources_;
  DownloadOwner& owner_;
  FileRequest request_;
  RepoPaths paths_;
  Phase phase_ = Phase::looking;
  std::vector<std::unique_ptr<Waiter>> waiters_;
  std::uint64_t next_id_ = 0;
  std::optional<std::filesystem::path> cached_;
  FileMetadata metadata_;
  std::unique_ptr<Query> query_;  // asking
  std::shared_ptr<Transfer> transfer_;
  std::shared_ptr<FileLock> lock_;
  std::optional<EventLoop::TimerId> lock_timer_;  // locking
  std::size_t jobs_ = 0;
  RateMeter rate_;
  EventLoop::Clock::time_point reported_{};
};

}  // namespace stella::hub
