// The best of many by their cosines, in bounded memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace stella::cli {

/// Cosine of the angle between two vectors of one size, computed in double; 0 where one of them is zero.
double cosine(std::span<const float> a, std::span<const float> b) noexcept;

struct Match {
  double score = 0;
  std::size_t index = 0;
  std::string text{};
};

/// Keeps the `count` best of what it is shown; of equal scores the lower index is better.
class Ranking {
 public:
  explicit Ranking(std::size_t count) : count_(count) {}

  /// The text is copied only where it is among the best so far.
  void offer(double score, std::size_t index, const std::string& text);
  /// The best first. Leaves nothing behind.
  std::vector<Match> take();

 private:
  std::size_t count_;
  std::vector<Match> heap_{};  ///< The worst on top.
};

}  // namespace stella::cli
