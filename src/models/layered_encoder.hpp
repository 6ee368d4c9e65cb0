// What every encoder is: something before the layers, the layers one after another, something after them.
#pragma once

#include "models/pass.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace stella::models {

/// `Net` has a Layer, a State of one pass, and: start() for embeddings, run() for one layer, finish() for pooling;
/// spec(); bytes() that it holds beside the packed weights.
template <class Net>
class LayeredEncoder final : public Encoder {
 public:
  using Layers = std::vector<typename Net::Layer>;
  /// Of the packed weights, and what of them is mapped.
  struct Bytes {
    std::size_t total = 0;
    std::size_t mapped = 0;
  };

  LayeredEncoder(Net net, Layers layers, Precision precision, Bytes bytes)
      : net_(std::move(net)), layers_(std::move(layers)), precision_(precision), bytes_(bytes) {}

  const float* forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch,
                       FunctionRef<bool()> go_on) const override {
    bool leave = false;
    const auto ask = [&] { leave = leave || !go_on(); };
    const FunctionRef<void()> before_product = ask;
    auto state = net_.start(batch, {team, scratch, precision_, nullptr, &before_product});
    for (const typename Net::Layer& layer : layers_) {
      ask();
      if (leave) return nullptr;
      net_.run(layer, state);
    }
    net_.finish(state, pooled);
    return state.x;
  }
  std::size_t hidden() const noexcept override { return net_.spec().hidden; }
  std::size_t weight_bytes() const noexcept override { return bytes_.total + net_.bytes(); }
  std::size_t mapped_bytes() const noexcept override { return bytes_.mapped; }

 private:
  Net net_;
  Layers layers_;
  Precision precision_;
  Bytes bytes_;
};

}  // namespace stella::models
