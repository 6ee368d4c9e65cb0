// A text's vector has the same bits alone, among others, in another order, and with any number of threads, at every
// precision.
#include "checkpoint.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

namespace stella::golden {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int32_t>;

class Identity : public ::testing::TestWithParam<std::tuple<fs::path, Arithmetic>> {
 protected:
  const fs::path& folder() const { return std::get<0>(GetParam()); }
  Checkpoint load_on(ParallelTeam& team) const {
    const Arithmetic& arithmetic = std::get<1>(GetParam());
    return load(folder(), kernels::select(parse_kernel_set(arithmetic.kernel_set)), team, arithmetic.precision);
  }

  /// Pooled vector and the smallest and largest heads' vectors of each sequence, end to end.
  static std::vector<std::vector<float>> vectors(const Checkpoint& checkpoint, const std::vector<const Ids*>& sequences,
                                                 ParallelTeam& team, models::Activations& scratch) {
    std::vector<std::vector<float>> result = pooled(*checkpoint.encoder, sequences, team, scratch);
    std::vector<float> rows;
    for (const auto& row : result) rows.insert(rows.end(), row.begin(), row.end());
    const auto add = [&](const models::DenseHead& head) {
      std::vector<float> out(sequences.size() * head.out());
      head.forward(rows.data(), sequences.size(), out.data(), team, scratch.workspace);
      kernels::l2_normalize(out.data(), sequences.size(), head.out());
      for (std::size_t s = 0; s < sequences.size(); ++s) {
        const auto at = out.begin() + static_cast<std::ptrdiff_t>(s * head.out());
        result[s].insert(result[s].end(), at, at + static_cast<std::ptrdiff_t>(head.out()));
      }
    };
    if (!checkpoint.heads.empty()) add(checkpoint.heads.begin()->second);
    if (checkpoint.heads.size() > 1) add(checkpoint.heads.rbegin()->second);
    return result;
  }

  static bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }
};

/// 64 sequences of 1 to 67 tokens and two long ones, so that the long ones' rows go through the feed-forward step in
/// several parts.
std::vector<Ids> make_sequences(std::size_t vocab, std::size_t longest) {
  std::mt19937 random(20261123);
  std::vector<Ids> sequences;
  for (std::size_t i = 0; i < 64; ++i) sequences.emplace_back(i < 62 ? 1 + i * 67 / 62 : longest - (i - 62) * 13);
  for (Ids& ids : sequences) {
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % vocab);
  }
  return sequences;
}

TEST_P(Identity, AloneInABatchInAnotherOrderAndOnAnyNumberOfThreads) {
  const weights::EncoderSpec spec = read_spec(folder()).encoder;
  const std::vector<Ids> sequences = make_sequences(spec.vocab_size, std::min<std::size_t>(spec.max_positions, 700));
  ParallelTeam one(1);
  const Checkpoint checkpoint = load_on(one);
  models::Activations scratch;
  std::vector<std::vector<float>> alone;
  for (const Ids& ids : sequences) alone.push_back(vectors(checkpoint, {&ids}, one, scratch).front());

  std::vector<std::size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  for (const std::size_t threads : {1U, 2U, 3U}) {
    ParallelTeam team(threads);
    models::Activations fresh;
    std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(threads)));
    std::vector<const Ids*> batch;
    for (const std::size_t i : order) batch.push_back(&sequences[i]);
    const auto together = vectors(checkpoint, batch, team, fresh);
    for (std::size_t i = 0; i < order.size(); ++i) {
      EXPECT_TRUE(same_bits(together[i], alone[order[i]]))
          << sequences[order[i]].size() << " tokens at place " << i << ", " << threads << " threads";
    }
  }
}

/// A pass yields to others before every product; what they do is no matter of it.
TEST_P(Identity, WhateverRunsInBetween) {
  const weights::EncoderSpec spec = read_spec(folder()).encoder;
  const std::vector<Ids> sequences = make_sequences(spec.vocab_size, std::min<std::size_t>(spec.max_positions, 200));
  ParallelTeam team(2);
  const Checkpoint checkpoint = load_on(team);
  const models::Encoder& encoder = *checkpoint.encoder;
  models::Activations scratch;
  models::Activations urgent_scratch;
  const std::vector<float> urgent_alone = pooled(encoder, {&sequences[7]}, team, urgent_scratch).front();
  const std::vector<float> alone = pooled(encoder, {&sequences[63]}, team, scratch).front();
  Ids ids = sequences[63];
  const auto end = static_cast<std::int32_t>(ids.size());
  ids.insert(ids.end(), sequences[20].begin(), sequences[20].end());
  const std::vector<std::int32_t> offsets{0, end, static_cast<std::int32_t>(ids.size())};
  std::vector<float> interrupted(2 * encoder.hidden());
  std::size_t pauses = 0;
  const auto pause = [&] {
    // Now one that is shorter than the pass, now one that is longer.
    const std::size_t other = pauses++ % 2 == 0 ? 7 : 62;
    const std::vector<float> urgent = pooled(encoder, {&sequences[other]}, team, urgent_scratch).front();
    if (other == 7) {
      EXPECT_TRUE(same_bits(urgent, urgent_alone));
    }
    return true;
  };
  ASSERT_NE(encoder.forward({ids, offsets}, interrupted.data(), team, scratch, pause), nullptr);
  EXPECT_GE(pauses, 5 * spec.layers);
  interrupted.resize(encoder.hidden());
  EXPECT_TRUE(same_bits(interrupted, alone));
}

TEST_P(Identity, APassIsLeftAtTheNextLayer) {
  const weights::EncoderSpec spec = read_spec(folder()).encoder;
  const Ids ids(10, 1);
  const std::vector<std::int32_t> offsets{0, 10};
  ParallelTeam team(1);
  const Checkpoint checkpoint = load_on(team);
  models::Activations scratch;
  std::vector<float> vector(checkpoint.encoder->hidden());
  std::size_t pauses = 0;
  EXPECT_EQ(checkpoint.encoder->forward({ids, offsets}, vector.data(), team, scratch, [&] { return ++pauses < 3; }),
            nullptr);
  EXPECT_EQ(pauses, 3U);
}

TEST_P(Identity, PackedByAnyNumberOfThreads) {
  const std::vector<Ids> sequences = make_sequences(read_spec(folder()).encoder.vocab_size, 90);
  ParallelTeam one(1);
  ParallelTeam three(3);
  models::Activations scratch;
  const auto a = vectors(load_on(one), {&sequences[40]}, one, scratch);
  const auto b = vectors(load_on(three), {&sequences[40]}, one, scratch);
  EXPECT_TRUE(same_bits(a.front(), b.front()));
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Identity,
                         ::testing::Combine(::testing::ValuesIn(checkpoint_folders()),
                                            ::testing::ValuesIn(arithmetics())),
                         [](const auto& one) { return name_of(std::get<0>(one.param), std::get<1>(one.param)); });

}  // namespace
}  // namespace stella::golden
