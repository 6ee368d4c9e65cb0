#include "layer.hpp"

#include "kernels/aligned_buffer.hpp"
#include "kernels/kernels.hpp"
#include "measure.hpp"
#include "models/pass.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <utility>

namespace stella::bench {
namespace {

using kernels::Epilogue;
using kernels::PackedMatrix;
using kernels::RowOrder;

constexpr std::size_t kHidden = 1024;
constexpr std::size_t kIntermediate = 4096;
constexpr std::size_t kHeads = 16;
constexpr std::size_t kHeadDim = kHidden / kHeads;
constexpr std::size_t kTokens = 2048;     // of a pass
constexpr std::size_t kShortLength = 64;  // texts up to this come one at a time

enum Part : std::size_t { kQkv, kAttention, kOut, kNorm, kUp, kDown, kParts };
constexpr const char* kPartNames[] = {"qkv", "attention", "out", "norms", "up+glu", "down"};

struct Weights {
  PackedMatrix qkv, out, up, down;
};

Weights make_weights(const kernels::Kernels& set, Precision precision, ParallelTeam& team) {
  const std::vector<float> values = random_floats(kIntermediate * kHidden, 0.05F);
  const auto source = [&](std::size_t n, std::size_t k) {
    return kernels::MatrixSource{values.data(), DType::f32, n, k};
  };
  const auto plain = [&](std::size_t n, std::size_t k) {
    const kernels::MatrixSource one = source(n, k);
    return kernels::pack(set, precision, RowOrder::plain, {&one, 1}, team);
  };
  const std::array pair = {source(kIntermediate, kHidden), source(kIntermediate, kHidden)};
  return {plain(3 * kHidden, kHidden), plain(kHidden, kHidden),
          kernels::pack(set, precision, RowOrder::interleaved, pair, team), plain(kHidden, kIntermediate)};
}

/// Memory as the models use it.
class Floats {
 public:
  explicit Floats(std::size_t n = 0) : buffer_(n * sizeof(float)) {}
  float* data() { return reinterpret_cast<float*>(buffer_.data()); }

 private:
  kernels::AlignedBuffer buffer_;
};

/// The layers and the buffers of one pass, and the time that each part has taken.
class Layers {
 public:
  Layers(const kernels::Kernels& set, Precision precision, std::size_t layers, ParallelTeam& team)
      : set_(set), precision_(precision), team_(team) {
    for (std::size_t i = 0; i < layers; ++i) weights_.push_back(make_weights(set, precision, team));
  }

  /// Sequences of one length.
  void prepare(std::size_t sequences, std::size_t length) {
    tokens_ = sequences * length;
    offsets_.clear();
    for (std::size_t s = 0; s <= sequences; ++s) offsets_.push_back(static_cast<std::int32_t>(s * length));
    angles_ = random_floats(length * kHeadDim / 2);
    gain_ = std::vector<float>(kHidden, 1.0F);
    x_ = Floats(tokens_ * kHidden);
    const std::vector<float> values = random_floats(tokens_ * kHidden);
    std::copy(values.begin(), values.end(), x_.data());
    attended_ = Floats(tokens_ * kHidden);
    step_ = models::feed_forward_rows(tokens_);
    wide_ = Floats(std::max(tokens_ * 3 * kHidden, step_ * kIntermediate));
  }

  void run() {
    for (const Weights& w : weights_) layer(w);
  }

  /// Seconds of each part since the last call.
  std::array<double, kParts> take_times() { return std::exchange(times_, {}); }

 private:
  template <class Body>
  void timed(Part part, Body body) {
    const double start = now(false);
    body();
    times_[part] += now(false) - start;
  }

  void product(const PackedMatrix& w, const float* x, std::size_t m, float* y, Epilogue epilogue,
               const float* residual) {
    kernels::matmul(set_, {x, m, &w, nullptr, residual, y, epilogue}, team_, workspace_);
  }

  void norm() {
    timed(kNorm, [&] {
      kernels::layer_norm(set_, x_.data(), tokens_, kHidden, gain_.data(), gain_.data(), 1e-5F, x_.data(), team_);
    });
  }

  void layer(const Weights& w) {
    timed(kQkv, [&] { product(w.qkv, x_.data(), tokens_, wide_.data(), Epilogue::none, nullptr); });
    kernels::AttentionArgs attention;
    attention.qkv = wide_.data();
    attention.offsets = offsets_;
    attention.heads = kHeads;
    attention.kv_heads = kHeads;
    attention.head_dim = kHeadDim;
    attention.rope = {angles_.data(), angles_.data()};
    attention.out = attended_.data();
    attention.precision = precision_;
    timed(kAttention, [&] { kernels::attention(set_, attention, team_, workspace_); });
    timed(kOut, [&] { product(w.out, attended_.data(), tokens_, x_.data(), Epilogue::none, x_.data()); });
    norm();
    for (std::size_t row = 0; row < tokens_; row += step_) {
      const std::size_t rows = std::min(step_, tokens_ - row);
      float* const some = x_.data() + row * kHidden;
      timed(kUp, [&] { product(w.up, some, rows, wide_.data(), Epilogue::glu_gelu, nullptr); });
      timed(kDown, [&] { product(w.down, wide_.data(), rows, some, Epilogue::none, some); });
    }
    norm();
  }

  const kernels::Kernels& set_;
  Precision precision_;
  ParallelTeam& team_;
  std::vector<Weights> weights_;
  kernels::Workspace workspace_;
  std::size_t tokens_ = 0;
  std::size_t step_ = 0;
  std::vector<std::int32_t> offsets_;
  std::vector<float> angles_;  // (length, kHeadDim / 2)
  std::vector<float> gain_;    // (kHidden)
  Floats x_;                   // (tokens, kHidden)
  Floats attended_;            // (tokens, kHidden)
  Floats wide_;                // (tokens, 3 · kHidden), then (step, kIntermediate)
  std::array<double, kParts> times_{};
};

/// Operations of one layer by part.
std::array<double, kParts> operations(std::size_t sequences, std::size_t length) {
  const auto tokens = static_cast<double>(sequences * length);
  const auto product = [&](std::size_t n, std::size_t k) { return 2.0 * tokens * static_cast<double>(n * k); };
  std::array<double, kParts> sum{};
  sum[kQkv] = product(3 * kHidden, kHidden);
  sum[kAttention] = 4.0 * tokens * static_cast<double>(length * kHidden);
  sum[kOut] = product(kHidden, kHidden);
  sum[kUp] = product(2 * kIntermediate, kHidden);
  sum[kDown] = product(kHidden, kIntermediate);
  return sum;
}

double total(const std::array<double, kParts>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

}  // namespace

void bench_layers(const kernels::Kernels& set, Precision precision, const LayerSettings& settings, ParallelTeam& team) {
  Layers layers(set, precision, settings.layers, team);
  for (const std::size_t length : settings.lengths) {
    const std::size_t sequences = length <= kShortLength ? 1 : std::max<std::size_t>(1, kTokens / length);
    layers.prepare(sequences, length);
    layers.run();
    layers.take_times();
    std::vector<std::array<double, kParts>> turns;
    std::vector<double> whole;
    std::vector<double> peaks;
    for (int turn = 0; turn < settings.turns; ++turn) {
      peaks.push_back(peak_rate(set, precision, team));
      layers.run();
      turns.push_back(layers.take_times());
      whole.push_back(total(turns.back()));
      peaks.push_back(peak_rate(set, precision, team));
    }
    const std::array<double, kParts> work = operations(sequences, length);
    const double peak = median(peaks) * 1e9;
    const double all = median(whole) / static_cast<double>(settings.layers);
    const auto share = [&](double done, double time) { return peak > 0 ? 100 * done / time / peak : 0.0; };
    std::printf("%s %s, %zu of %zu: %.3f ms a layer, %.0f tokens/s (%zu layers), %.1f GFLOP/s, %.1f %% of %.1f\n",
                set.name, to_string(precision), sequences, length, all * 1e3,
                static_cast<double>(sequences * length) / (all * static_cast<double>(settings.layers)), settings.layers,
                total(work) / all * 1e-9, share(total(work), all), peak * 1e-9);
    for (std::size_t part = 0; part < kParts; ++part) {
      std::vector<double> times;
      for (const auto& turn : turns) times.push_back(turn[part]);
      const double time = median(times) / static_cast<double>(settings.layers);
      std::printf("  %-10s %9.4f ms %5.1f %% of time %9.1f GFLOP/s %6.1f %%\n", kPartNames[part], time * 1e3,
                  100 * time / all, work[part] / time * 1e-9, share(work[part], time));
    }
    std::fflush(stdout);
  }
}

}  // namespace stella::bench
