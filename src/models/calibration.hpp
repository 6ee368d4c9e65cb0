// How much a precision costs on one checkpoint: an f32 model runs beside the one that is being packed, layer by layer,
// so that never more than one layer of it is in memory.
#pragma once

#include "kernels/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace stella::models {

struct PackedBatch;

/// Cosine of pooled vectors to those of f32, over the texts of a calibration.
struct Agreement {
  double mean = 0;
  double least = 0;
  bool reaches(const Agreement& bound) const noexcept { return mean >= bound.mean && least >= bound.least; }
};

/// In: the texts. Sequences as in PackedBatch.
struct Calibration {
  std::span<const std::int32_t> ids;      // (tokens)
  std::span<const std::int32_t> offsets;  // (sequences + 1)
  Agreement agreement;                    // filled in by make_encoder()
};

/// Largest |activation| of each input column, by the name of the matrix that it goes into.
class ColumnMaxima {
 public:
  /// x (m, k) goes into the matrix `name`.
  void see(const std::string& name, const float* x, std::size_t m, std::size_t k) {
    std::vector<float>& columns = maxima_[name];
    columns.resize(k);
    kernels::update_column_max(x, m, k, columns.data());
  }
  /// (k), or empty where none was seen.
  std::span<const float> of(const std::string& name) const {
    const auto found = maxima_.find(name);
    return found == maxima_.end() ? std::span<const float>{} : std::span<const float>(found->second);
  }
  void clear() { maxima_.clear(); }

 private:
  std::map<std::string, std::vector<float>> maxima_;
};

/// Of vectors (sequences, n) each.
inline Agreement compare(std::span<const float> exact, std::span<const float> other, std::size_t n) {
  Agreement agreement{0, 1};
  const std::size_t rows = exact.size() / n;
  for (std::size_t row = 0; row < rows; ++row) {
    double dot = 0;
    double a2 = 0;
    double b2 = 0;
    for (std::size_t i = row * n; i < (row + 1) * n; ++i) {
      const double a = exact[i];
      const double b = other[i];
      dot += a * b;
      a2 += a * a;
      b2 += b * b;
    }
    const double length = std::sqrt(a2 * b2);
    const double cosine = std::isfinite(length) && length > 0 ? dot / length : 0;
    agreement.mean += cosine / static_cast<double>(rows);
    agreement.least = std::min(agreement.least, cosine);
  }
  return agreement;
}

}  // namespace stella::models
