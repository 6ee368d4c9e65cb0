// One body from the hub into a verified partial file: parallel ranges, retries, resuming, hashing.
#pragma once

#include "hub/download/body_sink.hpp"
#include "hub/download/metadata.hpp"
#include "hub/download/piece_plan.hpp"
#include "hub/download/stream.hpp"
#include "hub/download/throughput.hpp"
#include "hub/http/query.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella::hub {

struct TransferJob {
  std::string what;  ///< For messages: the file and the repository.
  std::string file;
  std::shared_ptr<const HubOptions> options;
  RepoPaths paths;
  FileMetadata metadata;
  std::string pinned_url;  ///< Metadata address of the same file at metadata.commit, to ask again.
};

/// A body that has come whole.
struct Received {
  std::shared_ptr<PartialFile> file;
  std::string blob;  ///< Its name in the cache: a hash of the content, whatever the etag was.
  /// Whether that hash is one that the hub announced.
  enum class Checked : std::uint8_t { by_hash, by_plain_sha1, no } checked = Checked::by_hash;
};

class TransferOwner {
 public:
  /// Bytes are there; `total` is 0 while the size is unknown. In the middle of the transfer's work: must not end it.
  virtual void transfer_progressed(std::uint64_t bytes, std::uint64_t total) = 0;
  /// Once, and last: the file, to be published; or Error(integrity | http_error | hub_unreachable | io_error | …), or
  /// Error(cancelled) after stop(). May destroy the transfer.
  virtual void transfer_ended(std::exception_ptr error, Received received) = 0;

 protected:
  ~TransferOwner() = default;
};

/// Loop thread only; owned by a shared_ptr. The owner holds the blob's lock from start() until it is told of the end,
/// and is kept alive until then.
class Transfer final : public std::enable_shared_from_this<Transfer>,
                       public ConnectionUser,
                       public StreamOwner,
                       public SinkOwner {
 public:
  Transfer(Resources& resources, TransferJob job, std::shared_ptr<TransferOwner> owner);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer();

  void start();
  /// Writes what is in memory, keeps the partial file, then ends.
  void stop();

 private:
  /// In order; but from every phase it may go to `ending`, and from those in which bytes come back to `emptying`.
  enum class Phase : std::uint8_t {
    opening,    // a job makes the partial file, or looks at what an earlier process left of it
    fetching,   // bytes come, and connections are opened for more
    pausing,    // after a failure: what is open goes on, nothing is opened until a timer fires
    resolving,  // the address has expired and is asked for again: what is open goes on
    emptying,   // what came and what was announced disagree: once the jobs are done with the file all is begun anew
    asking,     // … with what the hub says now
    checking,   // a job hashes the file once more
    ending,     // there is a result: it is told once the jobs are done with the file
    over
  };
  void enter(Phase next);
  /// Whether bytes are taken from the network.
  bool is_receiving() const noexcept {
    return phase_ == Phase::fetching || phase_ == Phase::pausing || phase_ == Phase::resolving;
  }

  std::size_t connections() const noexcept override { return streams_.size(); }
  bool wants_connection() const override { return phase_ == Phase::fetching && !plan_.all_received(); }
  void fill() override;
  bool stream_head(Stream& stream, const HttpHead& head) override;
  BodyVerdict stream_body(Stream& stream, std::span<const std::byte> bytes) override;
  void stream_ended(Stream& stream, std::optional<HttpFailure> failure) override;
  void sink_changed() override;

  template <class Work>
  void open(Work work);
  void begin(std::shared_ptr<PartialFile> file);
  bool take_part(Stream& stream, const HttpHead& head);
  void take_whole(Stream& stream);
  void note_beginning(std::uint64_t position, std::span<const std::byte> bytes);
  void drop_others();
  void drop_streams();
  void remove_stream(Stream& stream);
  void sample();
  void verify();
  void verify_plain_sha1();
  void accept(std::string blob, Received::Checked checked);
  HttpFailure failure_of(const Stream& stream, int status, const std::string& how) const;
  HttpFailure integrity_failure(const std::string& how) const;
  HttpFailure pointer_failure() const;
  HttpFailure too_large() const;
  void failed(const HttpFailure& failure);
  void contradicted(const std::string& how);
  void resolve();
  void resolved(const Answer& answer);
  void finish(std::exception_ptr error);
  void conclude();
  void tell_end();
  std::size_t connection_limit() const;

  Resources& resources_;
  TransferJob job_;
  std::shared_ptr<TransferOwner> owner_;  // null once it was told of the end
  Phase phase_ = Phase::opening;
  bool job_has_file_ = false;  // beside the sink's
  PiecePlan plan_;
  Backoff backoff_;
  Throughput throughput_;
  std::string url_;
  std::shared_ptr<BodySink> sink_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::uint64_t resumed_bytes_ = 0;
  int lies_ = 0;                  // answers with another range than asked for
  int contradictions_ = 0;        // hash mismatches and impossible sizes, without resumed bytes
  bool ask_first_ = false;        // before all is begun anew
  std::uint64_t most_bytes_;      // of the body
  std::string beginning_;         // of the body, as it came from the network
  Received received_file_;        // without the file until it is handed over
  std::exception_ptr result_;     // from `ending` on
  EventLoop::Tasks end_task_;     // tells the owner; made beforehand, so that nothing can keep it from being told
  std::unique_ptr<Query> query_;  // resolving, asking
  std::optional<EventLoop::TimerId> retry_timer_;  // pausing
  std::optional<EventLoop::TimerId> sample_timer_;
};

}  // namespace stella::hub
