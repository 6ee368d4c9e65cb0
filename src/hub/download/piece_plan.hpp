// Which bytes of a body are asked for next, and in what pieces. Pure: no I/O, and the caller says what time it is.
#pragma once

#include "hub/download/range_set.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>

namespace stella::hub {

/// Of one request, in bytes; more than the smallest where the latency is high, or not known yet.
struct PieceLimits {
  std::uint64_t smallest = 0, largest = 0;
  std::size_t connections = 1;  ///< Most at a time.
};

/// The pieces of one body. Every byte is some piece's, or received, or free; a byte is free again when its piece is let
/// go before it came. Not thread-safe.
class PiecePlan {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::uint64_t kToTheEnd = UINT64_MAX;

  /// What one request is to bring: [position, end) is still to come.
  struct Piece {
    std::uint64_t position = 0, end = 0;
    bool whole = false;   ///< The answer is the whole body from 0.
    bool longer = false;  ///< The answer goes on beyond `end`.
    std::uint64_t received = 0;
    Time asked{}, first_byte{};  ///< The second where received > 0.

    std::uint64_t left() const noexcept { return end - position; }
  };

  explicit PiecePlan(const PieceLimits& limits) : limits_(limits) {}
  PiecePlan(const PiecePlan&) = delete;
  PiecePlan& operator=(const PiecePlan&) = delete;
  PiecePlan(PiecePlan&&) = default;
  PiecePlan& operator=(PiecePlan&&) = default;

  /// With what is there already; no piece is out. Without a size the body comes in one piece, and its end tells.
  void begin(const RangeSet& there, std::optional<std::uint64_t> size);
  /// The server ignores ranges: from now on one piece, and no other beside it.
  void use_no_ranges() noexcept { no_ranges_ = true; }

  /// The next piece, from now on somebody's; null where nothing is left that is worth a request.
  Piece* next(Time now);
  /// The answer to `piece` is all of the body from 0, which the pieces beside it bring in vain.
  void becomes_whole(Piece& piece);
  /// Whether `piece` brings what another one brings as a whole.
  bool is_superseded(const Piece& piece) const noexcept { return whole_ != nullptr && whole_ != &piece; }

  /// Whether any of the next `count` bytes of the piece is not there yet.
  bool is_news(const Piece& piece, std::uint64_t count) const;
  /// `count` bytes came; how many of them are news.
  std::uint64_t took(Piece& piece, std::uint64_t count, Time now);
  /// The request of the piece has ended by itself.
  void measure(const Piece& piece, Time now);
  /// What the piece leaves undone is free again, unless another one has it. The piece is gone.
  void release(Piece& piece);

  /// A body without a size has come to its end.
  void ends_at(std::uint64_t size);
  /// A body without a size broke off: nothing says where to go on.
  void forget();

  const std::optional<std::uint64_t>& size() const noexcept { return size_; }
  std::uint64_t received() const noexcept { return received_.total(); }
  bool all_received() const noexcept { return size_ && received_.total() == *size_; }
  /// Pieces of which bytes have come.
  std::size_t delivering() const;
  /// Seconds to a piece's first byte, the least so far; 0: unknown.
  double latency() const noexcept { return latency_; }

 private:
  std::optional<RangeSet::Range> next_range();
  std::uint64_t smallest() const;
  void split_largest();

  PieceLimits limits_;
  std::optional<std::uint64_t> size_;
  std::list<Piece> pieces_;
  RangeSet claimed_;   // received, or some piece's
  RangeSet received_;  // there at the beginning, or taken from the network
  Piece* whole_ = nullptr;
  bool no_ranges_ = false;
  double latency_ = 0;
  double rate_ = 0;  // bytes per second of the piece that ended last
};

}  // namespace stella::hub
