#include "engine/encoder_loading.hpp"

#include "base/log.hpp"
#include "stella/error.hpp"
#include "weights/tensors.hpp"

#include <array>
#include <cstdio>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

namespace stella::engine {
namespace {

std::size_t total_size(const std::vector<std::filesystem::path>& files) {
  std::size_t bytes = 0;
  std::error_code error;
  for (const auto& file : files) {
    const auto size = std::filesystem::file_size(file, error);
    if (!error) bytes += size;
  }
  return bytes;
}

std::string asked_for(const std::optional<models::Agreement>& agreement) {
  if (!agreement) return "asked for";
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "asked for; cosine to f32: mean %.6f, least %.6f", agreement->mean,
                agreement->least);
  return text.data();
}

constexpr const char* kSmallReason = "a small encoder needs no faster precision";

class EncoderLoading {
 public:
  explicit EncoderLoading(const EncoderJob& job)
      : job_(job), small_(total_size(job.files) < job.small_bytes), store_(small_ ? PackedStore{{}} : job.store) {
    if (store_.enabled()) identity_ = identify(job.source, job.files);
  }

  std::shared_ptr<const Weights> load(Precision wanted) {
    check_precision(*job_.kernels, wanted);
    if (wanted != Precision::automatic) {
      Loaded loaded = load_at(wanted, std::nullopt);
      PrecisionChoice choice{wanted, asked_for(loaded.agreement)};
      return finish(std::move(loaded), std::move(choice));
    }
    if (const auto known = known_choice(wanted)) return finish(load_at(known->precision, std::nullopt), *known);
    const auto [chosen, agreement] = choose();
    Loaded loaded = load_at(chosen.precision, agreement);
    PrecisionChoice choice{chosen.precision, describe_choice(chosen, agreement)};
    store_.keep_choice(identity_, kernels::name_of(*job_.kernels), choice);
    return finish(std::move(loaded), std::move(choice));
  }

  std::optional<PrecisionChoice> known_choice(Precision wanted) const {
    if (wanted != Precision::automatic) {
      const auto stored = store_.find(key(wanted));
      return PrecisionChoice{wanted, asked_for(stored ? stored->agreement : std::nullopt)};
    }
    if (small_) return PrecisionChoice{Precision::f32, kSmallReason};
    auto stored = store_.choice(identity_, kernels::name_of(*job_.kernels));
    if (stored && !kernels::supports(*job_.kernels, stored->precision)) stored.reset();
    return stored;
  }

 private:
  struct Loaded {
    std::shared_ptr<const models::Encoder> encoder;
    std::optional<models::Agreement> agreement;
    bool mapped = false;
  };

  PackedKey key(Precision precision) const {
    return {identity_, precision, kernels::layout_id(*job_.kernels, precision)};
  }

  models::LoadContext context(Precision precision) const {
    models::LoadContext context;
    context.kernels = job_.kernels;
    context.precision = precision;
    context.team = job_.team;
    context.on_progress = job_.on_progress;
    return context;
  }

  /// `known` is what an earlier step has found out for this precision.
  Loaded load_at(Precision precision, const std::optional<models::Agreement>& known) {
    if (auto mapped = map(precision)) return *std::move(mapped);
    if (precision == Precision::f32 || known) {
      write(precision, known);
    } else if (store_.enabled()) {
      try_at({precision}, {-1, -1});
    }
    // What was just packed went to the disk layer by layer and was never in memory as a whole.
    if (auto mapped = map(precision)) return *std::move(mapped);
    return pack_in_memory(precision, known);
  }

  std::optional<Loaded> map(Precision precision) const {
    auto stored = store_.find(key(precision));
    if (!stored) return std::nullopt;
    models::LoadContext mapped = context(precision);
    mapped.packed = stored->file;
    const weights::Tensors tensors = weights::Tensors::open(job_.files);  // a fault in these is not the packed weights'
    try {
      return Loaded{models::make_encoder(job_.spec, tensors, mapped), stored->agreement, true};
    } catch (const Error& error) {
      if (error.errc() != Errc::malformed_file) throw;
      log(LogLevel::warning, std::string(error.what()) + "; packing again");
      store_.remove(key(precision));
      return std::nullopt;
    }
  }

  void write(Precision precision, const std::optional<models::Agreement>& agreement) {
    packed_ = true;
    const auto writer = store_.writer(key(precision));
    if (!writer) return;
    models::Trial trial{precision, writer.get()};
    models::pack_encoder(job_.spec, weights::Tensors::open(job_.files), context(precision), {&trial, 1});
    PackedStore::commit(*writer, key(precision), agreement);
  }

  /// What each costs against f32. The first is also written, and kept where it reaches `needed`.
  std::vector<models::Agreement> try_at(const std::vector<Precision>& precisions, models::Agreement needed) {
    packed_ = true;
    const CalibrationTexts texts = calibration_texts(*job_.tokenizer);
    models::Calibration calibration{texts.ids, texts.offsets, {}};
    models::LoadContext trying = context(precisions.front());
    trying.calibration = &calibration;
    const auto writer = store_.writer(key(precisions.front()));
    std::vector<models::Trial> trials;
    for (const Precision precision : precisions) trials.push_back({precision, nullptr, needed});
    trials.front().writer = writer.get();
    models::pack_encoder(job_.spec, weights::Tensors::open(job_.files), trying, trials);
    if (writer && trials.front().agreement.reaches(needed)) {
      PackedStore::commit(*writer, key(precisions.front()), trials.front().agreement);
    }
    std::vector<models::Agreement> agreements;
    for (const models::Trial& trial : trials) agreements.push_back(trial.agreement);
    return agreements;
  }

  Loaded pack_in_memory(Precision precision, const std::optional<models::Agreement>& known) {
    packed_ = true;
    models::LoadContext packing = context(precision);
    const CalibrationTexts texts = calibration_texts(*job_.tokenizer);
    models::Calibration calibration{texts.ids, texts.offsets, {}};
    const bool calibrates = precision != Precision::f32 && (!known || precision == Precision::int8);
    if (calibrates) packing.calibration = &calibration;
    Loaded loaded{models::make_encoder(job_.spec, weights::Tensors::open(job_.files), packing), known};
    if (calibrates) loaded.agreement = calibration.agreement;
    return loaded;
  }

  /// The fastest that agrees with f32, and how well.
  std::pair<RankedPrecision, models::Agreement> choose() {
    const std::vector<RankedPrecision> ranked =
        rank_precisions(measure_precisions(*job_.kernels, job_.spec, *job_.team));
    std::map<Precision, models::Agreement> known{{Precision::f32, {1, 1}}};
    std::vector<Precision> unknown;
    for (const RankedPrecision& candidate : ranked) {
      if (known.contains(candidate.precision)) continue;
      const auto stored = store_.find(key(candidate.precision));
      if (stored && stored->agreement) {
        known[candidate.precision] = *stored->agreement;
      } else {
        unknown.push_back(candidate.precision);
      }
    }
    for (const RankedPrecision& candidate : ranked) {
      if (!known.contains(candidate.precision)) {
        const std::vector<models::Agreement> found = try_at(unknown, kNearLossless);
        for (std::size_t i = 0; i < found.size(); ++i) known[unknown[i]] = found[i];
      }
      if (is_near_lossless(known[candidate.precision])) return {candidate, known[candidate.precision]};
    }
    throw Error(Errc::unsupported_processor, "no kernels for any precision");
  }

  std::shared_ptr<const Weights> finish(Loaded loaded, PrecisionChoice choice) const {
    return std::make_shared<const Weights>(
        Weights{std::move(loaded.encoder), std::move(choice), packed_, loaded.mapped});
  }

  const EncoderJob& job_;
  const bool small_;
  const PackedStore store_;
  SourceIdentity identity_;
  bool packed_ = false;
};

}  // namespace

std::shared_ptr<const Weights> load_encoder(const EncoderJob& job, Precision wanted) {
  return EncoderLoading(job).load(wanted);
}

std::optional<PrecisionChoice> known_choice(const EncoderJob& job, Precision wanted) {
  return EncoderLoading(job).known_choice(wanted);
}

}  // namespace stella::engine
