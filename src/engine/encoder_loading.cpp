#include "engine/encoder_loading.hpp"

#include "base/log.hpp"
#include "stella/error.hpp"
#include "weights/tensors.hpp"

#include <array>
#include <cstdio>
#include <system_error>
#include <utility>

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
      Attempt attempt = load_at(wanted);
      keep(attempt, wanted);
      PrecisionChoice choice{wanted, asked_for(attempt.agreement)};
      return finish(std::move(attempt), std::move(choice));
    }
    if (const auto known = known_choice(wanted)) {
      Attempt attempt = load_at(known->precision);
      keep(attempt, known->precision);
      return finish(std::move(attempt), *known);
    }
    return choose();
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
  struct Attempt {
    std::shared_ptr<const models::Encoder> encoder;
    std::optional<models::Agreement> agreement;
    std::unique_ptr<models::PackedFileWriter> writer;  // null where the weights were mapped, or nothing is kept
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

  std::optional<Attempt> map(Precision precision) {
    auto stored = store_.find(key(precision));
    if (!stored) return std::nullopt;
    models::LoadContext mapped = context(precision);
    mapped.packed = stored->file;
    try {
      return Attempt{models::make_encoder(job_.spec, weights::Tensors::open(job_.files), mapped), stored->agreement,
                     nullptr, true};
    } catch (const Error& error) {
      // Only the packed weights' own faults: the checkpoint's would come again when it is packed.
      if (error.errc() != Errc::malformed_file) throw;
      log(LogLevel::warning, std::string(error.what()) + "; packing again");
      store_.remove(key(precision));
      return std::nullopt;
    }
  }

  Attempt load_at(Precision precision) {
    if (auto mapped = map(precision)) return *std::move(mapped);
    Attempt attempt;
    attempt.writer = store_.writer(key(precision));
    models::LoadContext packing = context(precision);
    packing.writer = attempt.writer.get();
    CalibrationTexts texts;
    models::Calibration calibration;
    if (precision != Precision::f32) {
      texts = calibration_texts(*job_.tokenizer);
      calibration.ids = texts.ids;
      calibration.offsets = texts.offsets;
      packing.calibration = &calibration;
    }
    attempt.encoder = models::make_encoder(job_.spec, weights::Tensors::open(job_.files), packing);
    if (precision != Precision::f32) attempt.agreement = calibration.agreement;
    return attempt;
  }

  void keep(Attempt& attempt, Precision precision) const {
    if (attempt.writer) PackedStore::commit(*attempt.writer, key(precision), attempt.agreement);
    attempt.writer.reset();
  }

  std::shared_ptr<const Weights> choose() {
    for (const RankedPrecision& candidate : rank_precisions(measure_precisions(*job_.kernels, job_.spec, *job_.team))) {
      Attempt attempt = load_at(candidate.precision);
      const bool exact = candidate.precision == Precision::f32;
      if (!exact && !(attempt.agreement && is_near_lossless(*attempt.agreement))) continue;
      const PrecisionChoice choice{candidate.precision,
                                   describe_choice(candidate, attempt.agreement.value_or(models::Agreement{1, 1}))};
      keep(attempt, candidate.precision);
      store_.keep_choice(identity_, kernels::name_of(*job_.kernels), choice);
      return finish(std::move(attempt), choice);
    }
    throw Error(Errc::unsupported_processor, "no kernels for any precision");
  }

  static std::shared_ptr<const Weights> finish(Attempt attempt, PrecisionChoice choice) {
    return std::make_shared<const Weights>(Weights{std::move(attempt.encoder), std::move(choice), attempt.mapped});
  }

  const EncoderJob& job_;
  const bool small_;
  const PackedStore store_;
  SourceIdentity identity_;
};

}  // namespace

std::shared_ptr<const Weights> load_encoder(const EncoderJob& job, Precision wanted) {
  return EncoderLoading(job).load(wanted);
}

std::optional<PrecisionChoice> known_choice(const EncoderJob& job, Precision wanted) {
  return EncoderLoading(job).known_choice(wanted);
}

}  // namespace stella::engine
