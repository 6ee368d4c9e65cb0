// A set of byte positions as disjoint half-open ranges.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

namespace stella::hub {

/// Adjacent ranges are merged. Not thread-safe.
class RangeSet {
 public:
  using Range = std::pair<std::uint64_t, std::uint64_t>;  // [first, end)

  void add(std::uint64_t first, std::uint64_t end) {
    if (first >= end) return;
    auto next = ranges_.upper_bound(first);
    // The common case: a range grows at its end.
    if (next != ranges_.begin() && std::prev(next)->second == first && (next == ranges_.end() || next->first > end)) {
      std::prev(next)->second = end;
      total_ += end - first;
      return;
    }
    if (next != ranges_.begin() && std::prev(next)->second >= first) {
      --next;
      first = next->first;
    }
    while (next != ranges_.end() && next->first <= end) {
      end = end > next->second ? end : next->second;
      total_ -= next->second - next->first;
      next = ranges_.erase(next);
    }
    ranges_.emplace(first, end);
    total_ += end - first;
  }

  void remove(std::uint64_t first, std::uint64_t end) {
    if (first >= end) return;
    auto at = ranges_.upper_bound(first);
    if (at != ranges_.begin() && std::prev(at)->second > first) --at;
    while (at != ranges_.end() && at->first < end) {
      const Range old = *at;
      total_ -= old.second - old.first;
      at = ranges_.erase(at);
      if (old.first < first) insert(old.first, first);
      if (old.second > end) insert(end, old.second);
    }
  }

  bool contains(std::uint64_t first, std::uint64_t end) const {
    auto at = ranges_.upper_bound(first);
    return first >= end || (at != ranges_.begin() && std::prev(at)->second >= end);
  }

  /// The lowest range below `size` that is not in the set.
  std::optional<Range> first_gap(std::uint64_t size) const {
    const std::uint64_t first = prefix();
    if (first >= size) return std::nullopt;
    const auto next = ranges_.upper_bound(first);
    return Range{first, next == ranges_.end() || next->first > size ? size : next->first};
  }

  /// End of the range that starts at 0; 0 where there is none.
  std::uint64_t prefix() const { return !ranges_.empty() && ranges_.begin()->first == 0 ? ranges_.begin()->second : 0; }

  std::uint64_t total() const noexcept { return total_; }
  const std::map<std::uint64_t, std::uint64_t>& ranges() const noexcept { return ranges_; }

 private:
  void insert(std::uint64_t first, std::uint64_t end) {
    ranges_.emplace(first, end);
    total_ += end - first;
  }

  std::map<std::uint64_t, std::uint64_t> ranges_;  // first → end
  std::uint64_t total_ = 0;
};

}  // namespace stella::hub
