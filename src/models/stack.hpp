// What every encoder is: something before the layers, the layers one after another, something after them.
#pragma once

#include "models/calibration.hpp"
#include "models/pass.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace stella::models {

/// `Net` has a Layer, a State of one pass, and: start() for embeddings, run() for one layer, finish() for pooling;
/// spec(); bytes() that it holds beside the packed weights.
template <class Net>
class StackEncoder final : public Encoder {
 public:
  using Layers = std::vector<typename Net::Layer>;

  StackEncoder(Net net, Layers layers, Precision precision, std::size_t weight_bytes)
      : net_(std::move(net)), layers_(std::move(layers)), precision_(precision), weight_bytes_(weight_bytes) {}

  void forward(const PackedBatch& batch, float* pooled, ParallelTeam& team, Activations& scratch) const override {
    auto state = net_.start(batch, {team, scratch, precision_});
    for (const typename Net::Layer& layer : layers_) net_.run(layer, state);
    net_.finish(state, pooled);
  }
  std::size_t hidden() const noexcept override { return net_.spec().hidden; }
  std::size_t weight_bytes() const noexcept override { return weight_bytes_ + net_.bytes(); }

 private:
  Net net_;
  Layers layers_;
  Precision precision_;
  std::size_t weight_bytes_;
};

/// Packs each layer after an f32 copy of it has run on the calibration's texts; fills in the agreement.
template <class Parts, class Net>
std::vector<typename Net::Layer> load_calibrated(const Net& net, Loader& loader, const weights::Tensors& tensors,
                                                 const LoadContext& context) {
  LoadContext exact_context;
  exact_context.kernels = context.kernels;
  exact_context.team = context.team;
  Loader exact_loader(tensors, exact_context, loader.prefix());
  exact_loader.start_packing();

  const weights::EncoderSpec& spec = net.spec();
  Calibration& calibration = *context.calibration;
  const PackedBatch batch{calibration.ids, calibration.offsets};
  ColumnMaxima maxima;
  Activations exact_scratch;
  Activations scratch;
  auto exact = net.start(batch, {*context.team, exact_scratch, Precision::f32, &maxima});
  auto packed = net.start(batch, {*context.team, scratch, context.precision});
  loader.use(&maxima);
  std::vector<typename Net::Layer> layers;
  for (std::size_t i = 0; i < spec.layers; ++i) {
    maxima.clear();
    net.run(Parts::layer(exact_loader, spec, i), exact);
    layers.push_back(Parts::layer(loader, spec, i));
    net.run(layers.back(), packed);
  }
  loader.use(nullptr);
  std::vector<float> exact_pooled(batch.sequences() * spec.hidden);  // (sequences, hidden)
  std::vector<float> pooled(exact_pooled.size());                    // (sequences, hidden)
  net.finish(exact, exact_pooled.data());
  net.finish(packed, pooled.data());
  calibration.agreement = compare(exact_pooled, pooled, spec.hidden);
  return layers;
}

/// `Parts` knows the names of an architecture's tensors: kProbe, one that exists; net() and layer() load.
template <class Parts>
std::unique_ptr<const Encoder> load_stack(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                          const LoadContext& context) {
  Loader loader(tensors, context, find_prefix(tensors, Parts::kProbe));
  Parts::ends(loader, spec);
  for (std::size_t i = 0; i < spec.layers; ++i) Parts::layer(loader, spec, i);
  loader.start_packing();
  auto net = Parts::net(Parts::ends(loader, spec), spec, *context.kernels);
  using Net = decltype(net);
  typename StackEncoder<Net>::Layers layers;
  if (context.calibration != nullptr) {
    layers = load_calibrated<Parts>(net, loader, tensors, context);
  } else {
    for (std::size_t i = 0; i < spec.layers; ++i) layers.push_back(Parts::layer(loader, spec, i));
  }
  return std::make_unique<const StackEncoder<Net>>(std::move(net), std::move(layers), context.precision,
                                                   loader.packed_bytes());
}

}  // namespace stella::models
