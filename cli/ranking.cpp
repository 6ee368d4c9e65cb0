#include "cli/ranking.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace stella::cli {
namespace {

bool better(const Match& a, const Match& b) noexcept {
  return a.score != b.score ? a.score > b.score : a.index < b.index;
}

/// In four chains, which take turns in the processor.
double dot(std::span<const float> a, std::span<const float> b) noexcept {
  std::array<double, 4> sums{};
  const std::size_t whole = a.size() / 4 * 4;
  for (std::size_t i = 0; i < whole; i += 4) {
    for (std::size_t k = 0; k < 4; ++k) sums[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
  }
  for (std::size_t i = whole; i < a.size(); ++i) sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

double cosine(std::span<const float> a, std::span<const float> b) noexcept {
  const double lengths = std::sqrt(dot(a, a)) * std::sqrt(dot(b, b));
  return lengths > 0 ? std::clamp(dot(a, b) / lengths, -1.0, 1.0) : 0.0;
}

void Ranking::offer(double score, std::size_t index, const std::string& text) {
  if (count_ == 0) return;
  if (heap_.size() == count_) {
    if (!better({score, index, {}}, heap_.front())) return;
    std::pop_heap(heap_.begin(), heap_.end(), better);
    heap_.pop_back();
  }
  heap_.push_back({score, index, text});
  std::push_heap(heap_.begin(), heap_.end(), better);
}

std::vector<Match> Ranking::take() {
  std::sort(heap_.begin(), heap_.end(), better);
  return std::exchange(heap_, {});
}

}  // namespace stella::cli
