// What every encoder is: something before the layers, the layers one after another, something after them.
#pragma once

#include "models/calibration.hpp"
#include "models/packed_file.hpp"
#include "models/pass.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
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
    for (const typename Net::Layer& layer : layers_) {
      if (scratch.given_up && scratch.given_up()) return;
      net_.run(layer, state);
    }
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

/// A precision that runs beside f32.
template <class Net>
struct Beside {
  Loader& loader;
  Precision precision;
  std::vector<typename Net::Layer>* layers;  // keeps them; null: each is dropped after it has run
  Agreement agreement{};                     // filled in
};

/// Packs each layer of the others after an f32 copy of it has run on the calibration's texts, and runs it; fills in the
/// agreements.
template <class Parts, class Net>
void run_beside_f32(const Net& net, Loader& exact_loader, const LoadContext& context, std::span<Beside<Net>> others) {
  const weights::EncoderSpec& spec = net.spec();
  const PackedBatch batch{context.calibration->ids, context.calibration->offsets};
  ColumnMaxima maxima;
  Activations exact_scratch;
  std::vector<Activations> scratch(others.size());
  auto exact = net.start(batch, {*context.team, exact_scratch, Precision::f32, &maxima});
  std::vector<typename Net::State> states;
  for (std::size_t i = 0; i < others.size(); ++i) {
    states.push_back(net.start(batch, {*context.team, scratch[i], others[i].precision}));
    others[i].loader.use(&maxima);
  }
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    maxima.clear();
    net.run(Parts::layer(exact_loader, spec, layer), exact);
    for (std::size_t i = 0; i < others.size(); ++i) {
      auto packed = Parts::layer(others[i].loader, spec, layer);
      net.run(packed, states[i]);
      if (others[i].layers != nullptr) others[i].layers->push_back(std::move(packed));
    }
  }
  std::vector<float> exact_pooled(batch.sequences() * spec.hidden);  // (sequences, hidden)
  std::vector<float> pooled(exact_pooled.size());                    // (sequences, hidden)
  net.finish(exact, exact_pooled.data());
  for (std::size_t i = 0; i < others.size(); ++i) {
    others[i].loader.use(nullptr);
    net.finish(states[i], pooled.data());
    others[i].agreement = compare(exact_pooled, pooled, spec.hidden);
  }
}

/// Walks over a model's parts without packing them: checks that all are there and adds up their bytes.
template <class Parts>
void check_parts(Loader& loader, const weights::EncoderSpec& spec) {
  Parts::ends(loader, spec);
  for (std::size_t i = 0; i < spec.layers; ++i) Parts::layer(loader, spec, i);
  loader.start_packing();
}

inline LoadContext in_f32(const LoadContext& context) {
  LoadContext exact;
  exact.kernels = context.kernels;
  exact.team = context.team;
  return exact;
}

/// `Parts` knows the names of an architecture's tensors: kProbe, one that exists; net() and layer() load.
template <class Parts>
std::unique_ptr<const Encoder> load_stack(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                          const LoadContext& context) {
  Loader loader(tensors, context, find_prefix(tensors, Parts::kProbe));
  check_parts<Parts>(loader, spec);
  auto net = Parts::net(Parts::ends(loader, spec), spec, *context.kernels);
  using Net = decltype(net);
  typename StackEncoder<Net>::Layers layers;
  if (context.calibration != nullptr) {
    const LoadContext exact_context = in_f32(context);
    Loader exact(tensors, exact_context, loader.prefix(), nullptr);
    exact.start_packing();
    Beside<Net> beside{loader, context.precision, &layers};
    run_beside_f32<Parts, Net>(net, exact, context, {&beside, 1});
    context.calibration->agreement = beside.agreement;
  } else {
    for (std::size_t i = 0; i < spec.layers; ++i) layers.push_back(Parts::layer(loader, spec, i));
  }
  return std::make_unique<const StackEncoder<Net>>(std::move(net), std::move(layers), context.precision,
                                                   loader.packed_bytes());
}

/// The first trial tells the progress.
template <class Parts>
void pack_stack(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
                std::span<Trial> trials) {
  const std::string prefix = find_prefix(tensors, Parts::kProbe);
  const LoadContext exact_context = in_f32(context);
  std::vector<LoadContext> contexts(trials.size(), exact_context);
  std::vector<Loader> loaders;
  loaders.reserve(trials.size());
  contexts.front().on_progress = context.on_progress;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    contexts[i].precision = trials[i].precision;
    loaders.emplace_back(tensors, contexts[i], prefix, trials[i].writer);
    check_parts<Parts>(loaders[i], spec);
  }
  if (context.calibration != nullptr) {
    Loader exact(tensors, exact_context, prefix, nullptr);
    exact.start_packing();
    const auto net = Parts::net(Parts::ends(exact, spec), spec, *context.kernels);
    using Net = std::remove_const_t<decltype(net)>;
    std::vector<Beside<Net>> others;
    for (std::size_t i = 0; i < trials.size(); ++i) others.push_back({loaders[i], trials[i].precision, nullptr});
    run_beside_f32<Parts, Net>(net, exact, context, others);
    for (std::size_t i = 0; i < trials.size(); ++i) trials[i].agreement = others[i].agreement;
  } else {
    for (std::size_t i = 0; i < trials.size(); ++i) {
      for (std::size_t at = 0; at < spec.layers && !trials[i].writer->failed(); ++at) {
        Parts::layer(loaders[i], spec, at);
      }
    }
  }
  // The embedding table comes last: it is large, and not written for a precision that has failed.
  for (std::size_t i = 0; i < trials.size(); ++i) {
    const bool good = context.calibration == nullptr || trials[i].agreement.reaches(trials[i].needed);
    if (good && trials[i].writer != nullptr) Parts::ends(loaders[i], spec);
  }
}

}  // namespace stella::models
