#include "engine/forward_pass.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace stella::engine {
namespace {

/// The rows of a batch that go through one head; several requests may share it.
struct HeadRows {
  const models::DenseHead* head = nullptr;  // null: the pooled vector itself
  std::vector<std::size_t> rows;
  std::vector<float*> out;  // (rows), where each row's vector goes
  std::vector<bool> normalize;
};

std::vector<HeadRows> group_by_head(std::span<const PassText> batch) {
  std::vector<HeadRows> groups;
  for (std::size_t row = 0; row < batch.size(); ++row) {
    const EmbeddingJob& job = *batch[row].job;
    const std::vector<HeadUse>& heads = job.model().heads;
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const models::DenseHead* head = heads[h].head.get();
      auto group = std::find_if(groups.begin(), groups.end(), [&](const HeadRows& g) { return g.head == head; });
      if (group == groups.end()) group = groups.insert(groups.end(), HeadRows{head, {}, {}, {}});
      group->rows.push_back(row);
      group->out.push_back(job.row(h, batch[row].text));
      group->normalize.push_back(job.model().normalize);
    }
  }
  return groups;
}

/// pooled (sequences, hidden) → every vector of `group`.
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
    std::copy_n(row, width, group.out[i]);
  }
}

}  // namespace

bool run_forward_pass(std::span<const PassText> batch, ParallelTeam& team, models::Activations& scratch,
                      FunctionRef<bool()> go_on) {
  std::vector<std::int32_t> ids;         // (tokens)
  std::vector<std::int32_t> offsets{0};  // (sequences + 1)
  for (const PassText& text : batch) {
    const TokenIds& own = text.job->ids(text.text);
    ids.insert(ids.end(), own.begin(), own.end());
    offsets.push_back(static_cast<std::int32_t>(ids.size()));
  }
  const models::Encoder& encoder = *batch.front().job->model().encoder;
  const std::size_t hidden = encoder.hidden();
  std::vector<float> pooled(batch.size() * hidden);  // (sequences, hidden)
  const float* const states = encoder.forward({ids, offsets}, pooled.data(), team, scratch, go_on);
  if (states == nullptr || !go_on()) return false;
  for (std::size_t row = 0; row < batch.size(); ++row) {
    EmbeddingJob& job = *batch[row].job;
    if (!job.request().options.token_states) continue;
    const auto first = static_cast<std::size_t>(offsets[row]);
    const auto end = static_cast<std::size_t>(offsets[row + 1]);
    std::copy(states + first * hidden, states + end * hidden, job.make_states(batch[row].text, hidden));
  }
  for (const HeadRows& group : group_by_head(batch)) apply_head(group, pooled, hidden, team, scratch);
  return true;
}

}  // namespace stella::engine
