// One body from the hub into a verified partial file: parallel ranges, retries, resuming, hashing.
#pragma once

#include "hub/download/body_sink.hpp"
#include "hub/download/metadata.hpp"
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

/// Loop thread only; owned by a shared_ptr. The caller holds the blob's lock from start() until `done`.
class Transfer final : public std::enable_shared_from_this<Transfer>, public StreamOwner {
 public:
  using OnProgress = UniqueFunction<void(std::uint64_t bytes, std::uint64_t total)>;
  /// The file, to be published; or Error(integrity | http_error | hub_unreachable | io_error | …), or
  /// Error(cancelled) after stop().
  using Done = Completion<Received>;

  Transfer(Services& services, TransferJob job, OnProgress on_progress, Done done);

  void start();
  /// Writes what is in memory, keeps the partial file, then completes.
  void stop();

  /// Opens connections where there is work and budget. For the budget.
  void fill();
  std::size_t connections() const noexcept { return streams_.size(); }
  bool wants_connection() const;

 private:
  bool stream_head(Stream& stream, const HttpHead& head) override;
  BodyVerdict stream_body(Stream& stream, std::span<const std::byte> bytes) override;
  void stream_ended(Stream& stream, std::optional<Failure> failure) override;

  void opened(std::exception_ptr error, std::shared_ptr<PartialFile> file);
  void begin(std::shared_ptr<PartialFile> file);
  std::optional<RangeSet::Range> next_piece();
  void split_slowest();
  std::uint64_t smallest_piece() const;
  void open_stream(bool whole, RangeSet::Range piece);
  void take_whole(Stream& stream);
  void drop_others();
  void drop_streams();
  void remove_stream(Stream& stream);
  void sample();
  std::size_t delivering() const;
  void sink_changed();
  void body_ended();
  void verify();
  void verify_plain_sha1();
  void accept(std::string blob, Received::Checked checked);
  Failure integrity_failure(const std::string& how) const;
  Failure pointer_failure() const;
  Failure too_large() const;
  void failed(const Failure& failure);
  void contradicted(const std::string& how);
  void resolve_again();
  void resolved(const Answer& answer);
  void restart();
  void finish(std::exception_ptr error);
  void conclude();
  std::size_t connection_limit() const;

  Services& services_;
  TransferJob job_;
  OnProgress on_progress_;
  Done done_;
  Backoff backoff_;
  Throughput throughput_;
  std::optional<std::uint64_t> size_;
  std::string url_;
  std::shared_ptr<BodySink> sink_;
  std::vector<std::unique_ptr<Stream>> streams_;
  RangeSet claimed_;   // received, or some stream's task
  RangeSet received_;  // resumed, or taken from the network
  std::uint64_t resumed_bytes_ = 0;
  double latency_ = 0;      // seconds to a piece's first byte, the least so far; 0: unknown
  double stream_rate_ = 0;  // bytes per second of the connection that ended last
  Stream* whole_stream_ = nullptr;
  bool no_ranges_ = false;    // the server ignores Range
  int lies_ = 0;              // answers with another range than asked for
  int contradictions_ = 0;    // hash mismatches and impossible sizes, without resumed bytes
  bool opening_ = false;      // a job has the file
  std::uint64_t most_bytes_;  // of the body
  std::string beginning_;     // of the body, as it came from the network
  Received received_file_;    // without the file until it is handed over
  bool finishing_ = false;
  bool restarting_ = false;
  bool resolve_first_ = false;  // before restarting
  std::exception_ptr result_;
  std::unique_ptr<Query> query_;
  std::optional<EventLoop::TimerId> retry_timer_;
  std::optional<EventLoop::TimerId> sample_timer_;
};

}  // namespace stella::hub
