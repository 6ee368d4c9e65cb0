// Functions of single rows, spread over the team.
#include "kernels/kernels.hpp"
#include "kernels/table.hpp"

#include <algorithm>
#include <cmath>

namespace stella::kernels {
namespace {

/// Calls body(first, count) for runs of rows, about 16 KiB of f32 each: less is not worth another thread.
template <class Body>
void for_rows(std::size_t m, std::size_t n, ParallelTeam& team, Body body) {
  constexpr std::size_t kTaskFloats = 4096;
  const std::size_t rows = std::max<std::size_t>(1, kTaskFloats / std::max<std::size_t>(1, n));
  team.run((m + rows - 1) / rows, [&](std::size_t task, std::size_t) {
    const std::size_t first = task * rows;
    body(first, std::min(rows, m - first));
  });
}

}  // namespace

void layer_norm(const Kernels& kernels, const float* x, std::size_t m, std::size_t n, const float* gain,
                const float* shift, float eps, float* y, ParallelTeam& team) {
  for_rows(m, n, team, [&](std::size_t first, std::size_t count) {
    kernels.layer_norm(x + first * n, count, n, gain, shift, eps, y + first * n);
  });
}

void rms_norm(const Kernels& kernels, const float* x, std::size_t m, std::size_t n, const float* gain, float eps,
              float* y, ParallelTeam& team) {
  for_rows(m, n, team, [&](std::size_t first, std::size_t count) {
    kernels.rms_norm(x + first * n, count, n, gain, eps, y + first * n);
  });
}

void embed_rows(const Kernels& kernels, const MatrixSource& table, std::span<const std::int32_t> ids, const float* add,
                float* out, ParallelTeam& team) {
  const std::size_t n = table.k;
  const auto* rows = static_cast<const std::byte*>(table.data);
  for_rows(ids.size(), n, team, [&](std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      const auto id = static_cast<std::size_t>(ids[i]);
      kernels.to_f32(rows + id * n * size_of(table.type), table.type, n, out + i * n);
      if (add != nullptr) kernels.add_in_place(out + i * n, add, n);
    }
  });
}

void mean_pool(const Kernels& kernels, const float* x, std::size_t n, std::span<const std::int32_t> offsets,
               float* pooled, ParallelTeam& team) {
  constexpr std::size_t kColumns = 256;  // of one task
  const std::size_t pieces = (n + kColumns - 1) / kColumns;
  team.run((offsets.size() - 1) * pieces, [&](std::size_t task, std::size_t) {
    const std::size_t sequence = task / pieces;
    const auto begin = static_cast<std::size_t>(offsets[sequence]);
    const auto end = static_cast<std::size_t>(offsets[sequence + 1]);
    const std::size_t column = task % pieces * kColumns;
    kernels.mean_rows(x + begin * n, end - begin, n, column, std::min(n, column + kColumns), pooled + sequence * n);
  });
}

void update_column_max(const float* x, std::size_t m, std::size_t k, float* out) {
  for (std::size_t row = 0; row < m; ++row, x += k) {
    for (std::size_t i = 0; i < k; ++i) out[i] = std::max(out[i], std::fabs(x[i]));
  }
}

void l2_normalize(float* x, std::size_t m, std::size_t n) {
  for (std::size_t row = 0; row < m; ++row, x += n) {
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
    if (squares == 0) continue;
    const double scale = 1.0 / std::sqrt(squares);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(x[i] * scale);
  }
}

}  // namespace stella::kernels
