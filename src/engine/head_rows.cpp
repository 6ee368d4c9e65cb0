#include "engine/head_rows.hpp"

#include <algorithm>

namespace stella::engine {

void apply_head(const HeadRows& group, const std::vector<float>& pooled, std::size_t hidden, ParallelTeam& team,
                models::Activations& scratch) {
  const std::size_t width = group.head != nullptr ? group.head->out() : hidden;
  const std::size_t m = group.rows.size();
  std::vector<float> in(m * hidden);  // (m, hidden)
  for (std::size_t i = 0; i < m; ++i) {
    std::copy_n(pooled.data() + group.rows[i] * hidden, hidden, in.data() + i * hidden);
  }
  std::vector<float> out;  // (m, width)
  if (group.head != nullptr) {
    out.resize(m * width);
    group.head->forward(in.data(), m, out.data(), team, scratch.workspace);
  } else {
    out.swap(in);
  }
  for (std::size_t i = 0; i < m; ++i) {
    float* row = out.data() + i * width;
    if (group.normalize[i]) kernels::l2_normalize(row, 1, width);
    group.out[i]->assign(row, row + width);
  }
}

}  // namespace stella::engine
