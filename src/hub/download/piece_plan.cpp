#include "hub/download/piece_plan.hpp"

#include <algorithm>

namespace stella::hub {

void PiecePlan::begin(const RangeSet& there, std::optional<std::uint64_t> size) {
  size_ = size;
  received_ = there;
  claimed_ = there;
}

PiecePlan::Piece* PiecePlan::next(Time now) {
  Piece piece;
  piece.asked = now;
  if (!size_ || no_ranges_) {
    if (!pieces_.empty()) return nullptr;
    piece.whole = true;
    piece.end = size_.value_or(kToTheEnd);
  } else {
    const auto range = next_range();
    if (!range) return nullptr;
    piece.position = range->first;
    piece.end = range->second;
    // A small body in one go needs no range, and so nothing of the server but HTTP.
    piece.whole = piece.position == 0 && piece.end == *size_;
  }
  pieces_.push_back(piece);
  if (size_) claimed_.add(piece.position, piece.end);
  if (piece.whole) whole_ = &pieces_.back();
  return &pieces_.back();
}

// The lowest bytes that nobody has or fetches: hashing follows close behind. The less is left the smaller, so that all
// connections end at about the same time.
std::optional<RangeSet::Range> PiecePlan::next_range() {
  auto gap = claimed_.first_gap(*size_);
  if (!gap) {
    split_largest();
    gap = claimed_.first_gap(*size_);
  }
  if (!gap || limits_.connections == 1) return gap;
  const std::uint64_t left = *size_ - claimed_.total();
  const std::uint64_t least = smallest();
  const std::uint64_t length = std::clamp(left / (2 * limits_.connections), least, std::max(least, limits_.largest));
  // Never leave a crumb behind.
  if (gap->second - gap->first > length + least / 2) gap->second = gap->first + length;
  return gap;
}

// Worth a request: asking costs at most a third of the time that the bytes take.
std::uint64_t PiecePlan::smallest() const {
  if (latency_ <= 0 || rate_ <= 0) return 4 * limits_.smallest;
  const double worth = std::min(2 * latency_ * rate_, static_cast<double>(limits_.largest));
  return std::max(limits_.smallest, static_cast<std::uint64_t>(worth));
}

// Everything is some piece's: the slowest has the largest rest, which is halved where that is worth a request.
void PiecePlan::split_largest() {
  const auto largest = std::max_element(pieces_.begin(), pieces_.end(),
                                        [](const Piece& a, const Piece& b) { return a.left() < b.left(); });
  if (largest == pieces_.end() || whole_ != nullptr || largest->left() < 2 * smallest()) return;
  const std::uint64_t middle = largest->position + largest->left() / 2;
  claimed_.remove(middle, largest->end);
  largest->end = middle;
  largest->longer = true;
}

void PiecePlan::becomes_whole(Piece& piece) {
  no_ranges_ = true;
  piece.whole = true;
  piece.position = 0;
  piece.end = *size_;
  whole_ = &piece;
  claimed_.add(0, *size_);
}

bool PiecePlan::is_news(const Piece& piece, std::uint64_t count) const {
  return !size_ || !received_.contains(piece.position, piece.position + count);
}

std::uint64_t PiecePlan::took(Piece& piece, std::uint64_t count, Time now) {
  if (piece.received == 0) {
    piece.first_byte = now;
    const double latency = std::chrono::duration<double>(now - piece.asked).count();
    latency_ = latency_ <= 0 ? latency : std::min(latency, latency_);
  }
  const std::uint64_t before = received_.total();
  received_.add(piece.position, piece.position + count);
  piece.position += count;
  piece.received += count;
  return received_.total() - before;
}

void PiecePlan::measure(const Piece& piece, Time now) {
  const double took = std::chrono::duration<double>(now - piece.first_byte).count();
  if (piece.received > 0 && took > 0) rate_ = static_cast<double>(piece.received) / took;
}

void PiecePlan::release(Piece& piece) {
  if (size_) {
    claimed_.remove(piece.whole ? 0 : piece.position, piece.end);
    for (const auto& [first, end] : received_.ranges()) claimed_.add(first, end);
    for (const Piece& other : pieces_) {
      if (&other != &piece) claimed_.add(other.position, other.end);
    }
  }
  if (whole_ == &piece) whole_ = nullptr;
  pieces_.remove_if([&](const Piece& one) { return &one == &piece; });
}

void PiecePlan::ends_at(std::uint64_t size) {
  size_ = size;
  received_.add(0, size);
  claimed_ = received_;
}

void PiecePlan::forget() {
  received_ = {};
  claimed_ = {};
}

std::size_t PiecePlan::delivering() const {
  return static_cast<std::size_t>(
      std::count_if(pieces_.begin(), pieces_.end(), [](const Piece& piece) { return piece.received > 0; }));
}

}  // namespace stella::hub
