// The kinds of encoder that there are, and how each comes from a checkpoint's tensors: one walk, many visitors.
#pragma once

#include "models/encoder_types.hpp"
#include "models/layered_encoder.hpp"
#include "models/part_visitors.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace stella::models {

/// One kind of encoder: how its parts are visited, and what is made of them. Immutable.
class EncoderKind {
 public:
  EncoderKind() = default;
  EncoderKind(const EncoderKind&) = delete;
  EncoderKind& operator=(const EncoderKind&) = delete;

  /// A tensor that every encoder of this kind has, without the prefix.
  virtual const char* probe() const noexcept = 0;
  /// Every part in order; what the visitor makes of it is dropped.
  virtual void visit(const weights::EncoderSpec& spec, PartVisitor& visitor) const = 0;
  /// As make_encoder() and pack_encoder() say.
  virtual std::unique_ptr<const Encoder> make(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                              const LoadContext& context) const = 0;
  virtual void pack(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
                    std::span<Trial> trials) const = 0;

 protected:
  ~EncoderKind() = default;
};

/// Tensors as in Alibaba-NLP's NewModel: packed or separate query, key and value; GLU without bias; rotary positions.
const EncoderKind& new_model_kind();
/// As in Hugging Face's BertModel.
const EncoderKind& bert_kind();
/// As in Hugging Face's Qwen2Model.
const EncoderKind& qwen2_kind();

/// What packing has in common, whatever becomes of the parts.
struct Packing {
  const weights::EncoderSpec& spec;
  const weights::Tensors& tensors;
  const LoadContext& context;
  std::string prefix;
  std::size_t source_bytes;

  PartPacker::Settings settings(Precision precision) const { return {*context.kernels, *context.team, precision}; }
  Progress progress() const { return {context.on_progress, source_bytes}; }
  std::unique_ptr<PassingPacker> passing(Precision precision, PackedFileWriter* writer, Progress told) const {
    return std::make_unique<PassingPacker>(tensors, prefix, settings(precision), std::move(told), writer);
  }
  /// Nobody keeps it, and nobody is told how far it is.
  std::unique_ptr<PassingPacker> exact() const { return passing(Precision::f32, nullptr, {{}, 0}); }
};

/// The kind of encoder whose parts `Walk` visits: kProbe; Net, as LayeredEncoder wants it; ends(visitor, spec) and
/// layer(visitor, spec, i), whose calls name every tensor once; net() of the ends.
template <class Walk>
class LayeredKind final : public EncoderKind {
 public:
  using Net = typename Walk::Net;
  using Layers = typename LayeredEncoder<Net>::Layers;
  using Bytes = typename LayeredEncoder<Net>::Bytes;

  const char* probe() const noexcept override { return Walk::kProbe; }

  void visit(const weights::EncoderSpec& spec, PartVisitor& visitor) const override {
    Walk::ends(visitor, spec);
    for (std::size_t i = 0; i < spec.layers; ++i) Walk::layer(visitor, spec, i);
  }

  std::unique_ptr<const Encoder> make(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                      const LoadContext& context) const override {
    const Packing packing = check(spec, tensors, context);
    if (context.packed) return map(packing);
    PartPacker packer(tensors, packing.prefix, packing.settings(context.precision), packing.progress());
    Net net = Walk::net(Walk::ends(packer, spec), spec, *context.kernels);
    Layers layers;
    if (context.calibration != nullptr) {
      Beside beside{packer, context.precision, &layers};
      run_beside_f32(net, packing, {&beside, 1});
      context.calibration->agreement = beside.agreement;
    } else {
      layers = all_layers(packer, spec);
    }
    return std::make_unique<const LayeredEncoder<Net>>(std::move(net), std::move(layers), context.precision,
                                                       Bytes{packer.packed_bytes(), 0});
  }

  /// The first trial tells the progress.
  void pack(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
            std::span<Trial> trials) const override {
    const Packing packing = check(spec, tensors, context);
    std::vector<std::unique_ptr<PassingPacker>> packers;
    for (const Trial& trial : trials) {
      Progress progress = packers.empty() ? packing.progress() : Progress({}, 0);
      packers.push_back(packing.passing(trial.precision, trial.writer, std::move(progress)));
    }
    if (context.calibration != nullptr) {
      const auto exact = packing.exact();
      const Net net = Walk::net(Walk::ends(*exact, spec), spec, *context.kernels);
      std::vector<Beside> others;
      for (std::size_t i = 0; i < trials.size(); ++i) others.push_back({*packers[i], trials[i].precision, nullptr});
      run_beside_f32(net, packing, others);
      for (std::size_t i = 0; i < trials.size(); ++i) trials[i].agreement = others[i].agreement;
    } else {
      for (std::size_t i = 0; i < trials.size(); ++i) {
        for (std::size_t at = 0; at < spec.layers && !trials[i].writer->failed(); ++at) {
          Walk::layer(*packers[i], spec, at);
        }
      }
    }
    // The embedding table comes last: it is large, and not written for a precision that has failed.
    for (std::size_t i = 0; i < trials.size(); ++i) {
      const bool good = context.calibration == nullptr || trials[i].agreement.reaches(trials[i].needed);
      if (good && trials[i].writer != nullptr) Walk::ends(*packers[i], spec);
    }
  }

 private:
  /// A precision that runs beside f32.
  struct Beside {
    PartPacker& packer;
    Precision precision;
    Layers* layers;         // keeps them; null: each is dropped after it has run
    Agreement agreement{};  // filled in
  };

  Packing check(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context) const {
    std::string prefix = find_prefix(tensors, Walk::kProbe);
    PartChecker checker(tensors, prefix);
    visit(spec, checker);
    return {spec, tensors, context, std::move(prefix), checker.source_bytes()};
  }

  static Layers all_layers(PartVisitor& visitor, const weights::EncoderSpec& spec) {
    Layers layers;
    for (std::size_t i = 0; i < spec.layers; ++i) layers.push_back(Walk::layer(visitor, spec, i));
    return layers;
  }

  static std::unique_ptr<const Encoder> map(const Packing& packing) {
    const LoadContext& context = packing.context;
    PartMapper mapper(packing.tensors, packing.prefix, *context.kernels, context.precision, context.packed,
                      packing.progress());
    Net net = Walk::net(Walk::ends(mapper, packing.spec), packing.spec, *context.kernels);
    Layers layers = all_layers(mapper, packing.spec);
    return std::make_unique<const LayeredEncoder<Net>>(
        std::move(net), std::move(layers), context.precision,
        Bytes{mapper.copied_bytes() + mapper.mapped_bytes(), mapper.mapped_bytes()});
  }

  /// Packs each layer of the others after an f32 copy of it has run on the calibration's texts, and runs it; fills in
  /// the agreements.
  static void run_beside_f32(const Net& net, const Packing& packing, std::span<Beside> others) {
    const weights::EncoderSpec& spec = packing.spec;
    ParallelTeam& team = *packing.context.team;
    const PackedBatch batch{packing.context.calibration->ids, packing.context.calibration->offsets};
    const auto exact_packer = packing.exact();
    ColumnMaxima maxima;
    Activations exact_scratch;
    std::vector<Activations> scratch(others.size());
    auto exact = net.start(batch, {team, exact_scratch, Precision::f32, &maxima});
    std::vector<typename Net::State> states;
    for (std::size_t i = 0; i < others.size(); ++i) {
      states.push_back(net.start(batch, {team, scratch[i], others[i].precision}));
      others[i].packer.use(&maxima);
    }
    for (std::size_t layer = 0; layer < spec.layers; ++layer) {
      maxima.clear();
      net.run(Walk::layer(*exact_packer, spec, layer), exact);
      for (std::size_t i = 0; i < others.size(); ++i) {
        auto packed = Walk::layer(others[i].packer, spec, layer);
        net.run(packed, states[i]);
        if (others[i].layers != nullptr) others[i].layers->push_back(std::move(packed));
      }
    }
    std::vector<float> exact_pooled(batch.sequences() * spec.hidden);  // (sequences, hidden)
    std::vector<float> pooled(exact_pooled.size());                    // (sequences, hidden)
    net.finish(exact, exact_pooled.data());
    for (std::size_t i = 0; i < others.size(); ++i) {
      others[i].packer.use(nullptr);
      net.finish(states[i], pooled.data());
      others[i].agreement = compare(exact_pooled, pooled, spec.hidden);
    }
  }
};

}  // namespace stella::models
