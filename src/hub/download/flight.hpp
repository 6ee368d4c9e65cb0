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

/// Equal keys, equal answers: one flight serves all requests of a key.
std::string flight_key(const FileRequest& request);

/// Loop thread only; owned by a shared_ptr. Every waiter gets exactly one completion.
class Flight : public std::enable_shared_from_this<Flight> {
 public:
  /// `closed`: takes no more waiters. `landed`, after it: over, holds nothing any more.
  Flight(Services& services, FileRequest request, UniqueFunction<void()> closed, UniqueFunction<void()> landed);

  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  ~Flight();

  void start();
  void add(std::stop_token stop, ProgressCallback on_progress, Completion<std::filesystem::path> done);
  void leave_all(const std::exception_ptr& error);

 private:
  struct Passenger;
  struct Look;
  struct Place;

  template <class T, class Work, class Next>
  void job(Work work, Next next);
  void leave(std::uint64_t id, const std::exception_ptr& error);
  void looked(const Look& look);
  void ask_hub(bool patiently);
  void answered(std::optional<Answer> answer, std::optional<Failure> failure);
  void unanswered(const Failure& failure);
  void prepare();
  void try_lock();
  void locked(const Place& place);
  void download();
  void downloaded(std::exception_ptr error, Received received);
  void remark(Received::Checked checked);
  void report(std::uint64_t bytes, std::uint64_t total);
  void succeed(const std::filesystem::path& path, bool from_cache);
  void broken(const std::exception_ptr& error);
  std::exception_ptr still_damaged(const std::exception_ptr& error) const;
  void fail(std::exception_ptr error);
  void close();
  void wind_down();

  Services& services_;
  FileRequest request_;
  RepoPaths paths_;
  UniqueFunction<void()> closed_;
  UniqueFunction<void()> landed_;
  std::vector<std::unique_ptr<Passenger>> passengers_;
  std::uint64_t next_id_ = 0;
  std::optional<std::filesystem::path> cached_;
  FileMetadata metadata_;
  std::unique_ptr<Query> query_;
  std::shared_ptr<Transfer> transfer_;
  std::shared_ptr<FileLock> lock_;
  std::optional<EventLoop::TimerId> lock_timer_;
  std::size_t jobs_ = 0;
  bool over_ = false;  // nobody waits any more
  RateMeter rate_;
  EventLoop::Clock::time_point reported_{};
};

}  // namespace stella::hub
