#include "engine/encoder_loading.hpp"

#include "base/log.hpp"
#include "stella/error.hpp"
#include "weights/tensors.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;

std::size_t total_size(const std::vector<fs::path>& files) {
  std::size_t bytes = 0;
  std::error_code error;
  for (const auto& file : files) {
    const auto size = fs::file_size(file, error);
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
      : job_(job),
        small_(total_size(job.files) < job.small_bytes),
        store_(small_ ? fs::path() : job.packed_folder),
        identity_(identify(job.source, job.files)) {}

  std::shared_ptr<const LoadedEncoder> load(Precision wanted) {
    check_precision(*job_.kernels, wanted);
    if (auto ready = find(wanted, PackedStore::Damaged::keep)) return ready;
    // One load chooses and packs; who had to wait for that finds it.
    lock_ = store_.lock(identity_, [&] {
      if (job_.on_progress) job_.on_progress(0, 0);
    });
    auto weights = find(wanted, PackedStore::Damaged::remove);
    if (!weights) weights = make(wanted);
    lock_.reset();
    return weights;
  }

  LoadNeeds needs(Precision wanted) {
    check_precision(*job_.kernels, wanted);
    const std::vector<Precision> candidates = this->candidates(wanted);
    const bool is_here = candidates.size() == 1 && store_.find(key(candidates.front()));
    const bool maps = is_here || store_.can_keep();
    LoadNeeds most;
    for (const Precision precision : candidates) {
      const LoadNeeds needs = needs_at(precision, maps);
      most.private_bytes_after = std::max(most.private_bytes_after, needs.private_bytes_after);
      most.mapped_bytes = std::max(most.mapped_bytes, needs.mapped_bytes);
    }
    most.private_bytes_peak = most.private_bytes_after + (is_here ? 0 : packing_bytes(candidates));
    return most;
  }

  std::optional<PrecisionChoice> known_choice(Precision wanted) {
    if (wanted != Precision::automatic) {
      const auto stored = store_.find(key(wanted));
      return PrecisionChoice{wanted, asked_for(stored ? stored->agreement : std::nullopt)};
    }
    return kept_choice(PackedStore::Damaged::keep);
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

  models::LoadContext context(Precision precision) {
    models::LoadContext context;
    context.kernels = job_.kernels;
    context.precision = precision;
    context.team = job_.team;
    context.on_progress = [this](std::size_t done, std::size_t total) { step(done, total); };
    return context;
  }

  void step(std::size_t done, std::size_t total) {
    if (lock_) lock_->touch();
    if (job_.on_progress) job_.on_progress(done, total);
  }

  std::optional<PrecisionChoice> kept_choice(PackedStore::Damaged damaged) {
    if (small_) return PrecisionChoice{Precision::f32, kSmallReason};
    auto stored = store_.choice(identity_, kernels::name_of(*job_.kernels), damaged);
    if (stored && !kernels::supports(*job_.kernels, stored->precision)) stored.reset();
    return stored;
  }

  /// What `wanted` may come to.
  std::vector<Precision> candidates(Precision wanted) {
    if (wanted != Precision::automatic) return {wanted};
    if (const auto known = kept_choice(PackedStore::Damaged::keep)) return {known->precision};
    std::vector<Precision> all{Precision::f32, Precision::int16, Precision::bf16};
    std::erase_if(all, [&](Precision precision) { return !kernels::supports(*job_.kernels, precision); });
    return all;
  }

  models::PackedBytes bytes_at(Precision precision) {
    return models::packed_bytes(job_.spec, *tensors(), *job_.kernels, precision);
  }

  LoadNeeds needs_at(Precision precision, bool maps) {
    const models::PackedBytes bytes = bytes_at(precision);
    const std::size_t own = bytes.copied + (maps ? 0 : bytes.in_file);
    return {own, own, maps ? bytes.in_file : 0};
  }

  /// What packing takes beside what stays: a layer of each precision and of f32, and their activations on the
  /// calibration's texts.
  std::size_t packing_bytes(const std::vector<Precision>& precisions) {
    constexpr std::size_t kTokens = 1024;  // more than the texts have
    const weights::EncoderSpec& spec = job_.spec;
    const std::size_t qkv = (spec.heads + 2 * spec.kv_heads) * spec.head_dim;
    const std::size_t activations =
        kTokens * (2 * spec.hidden + std::max(qkv, spec.intermediate)) * sizeof(float);  // of one precision
    std::size_t bytes = bytes_at(Precision::f32).layer + activations;
    for (const Precision precision : precisions) bytes += bytes_at(precision).layer + activations;
    return bytes;
  }

  /// What is kept of this model, mapped; null where something is missing.
  std::shared_ptr<const LoadedEncoder> find(Precision wanted, PackedStore::Damaged damaged) {
    if (!store_.enabled()) return nullptr;
    const auto choice =
        wanted == Precision::automatic ? kept_choice(damaged) : std::optional(PrecisionChoice{wanted, {}});
    if (!choice) return nullptr;
    auto mapped = map(choice->precision, damaged);
    if (!mapped) return nullptr;
    const std::string reason = wanted == Precision::automatic ? choice->reason : asked_for(mapped->agreement);
    return finish(*std::move(mapped), {choice->precision, reason});
  }

  std::shared_ptr<const LoadedEncoder> make(Precision wanted) {
    if (wanted != Precision::automatic) {
      Loaded loaded = load_at(wanted, std::nullopt);
      const std::string reason = asked_for(loaded.agreement);
      return finish(std::move(loaded), {wanted, reason});
    }
    if (const auto known = kept_choice(PackedStore::Damaged::keep)) {
      return finish(load_at(known->precision, std::nullopt), *known);
    }
    const auto [chosen, agreement] = choose();
    Loaded loaded = load_at(chosen.precision, agreement);
    const PrecisionChoice choice{chosen.precision, describe_choice(chosen, agreement)};
    store_.keep_choice(identity_, kernels::name_of(*job_.kernels), choice);
    // Where nothing is locked, or this lock was not waited for, somebody may have been faster.
    const PrecisionChoice kept = kept_choice(PackedStore::Damaged::keep).value_or(choice);
    if (kept.precision != chosen.precision) loaded = load_at(kept.precision, std::nullopt);
    return finish(std::move(loaded), kept);
  }

  /// `known` is what an earlier step has found out for this precision, and packed where it could.
  Loaded load_at(Precision precision, const std::optional<models::Agreement>& known) {
    if (auto mapped = map(precision, PackedStore::Damaged::remove)) return *std::move(mapped);
    if (precision == Precision::f32 || known) {
      write(precision, known);
    } else if (store_.enabled()) {
      try_at({precision}, {-1, -1});
    }
    // What was just packed went to the disk layer by layer and was never in memory as a whole.
    if (auto mapped = map(precision, PackedStore::Damaged::remove)) return *std::move(mapped);
    return pack_in_memory(precision, known);
  }

  std::optional<Loaded> map(Precision precision, PackedStore::Damaged damaged) {
    auto stored = store_.find(key(precision), damaged);
    if (!stored) return std::nullopt;
    models::LoadContext mapped = context(precision);
    mapped.packed = stored->file;
    tensors();  // a fault in these is not the packed weights'
    try {
      stored->file->check(*job_.team, [&](std::size_t) { step(0, 0); });
      return Loaded{models::make_encoder(job_.spec, *tensors(), mapped), stored->agreement, true};
    } catch (const Error& error) {
      const bool is_theirs = error.errc() == Errc::malformed_file || error.errc() == Errc::io_error;
      if (!is_theirs || error.context().file != stored->file->path().string()) throw;
      if (damaged == PackedStore::Damaged::remove) {
        log(LogLevel::warning, std::string(error.what()) + "; packing again");
        if (error.errc() == Errc::malformed_file) store_.remove(key(precision));
      }
      return std::nullopt;
    }
  }

  /// The checkpoint's tensors, opened once: what is checked is what is packed.
  const std::shared_ptr<const weights::Tensors>& tensors() {
    if (!tensors_) tensors_ = std::make_shared<const weights::Tensors>(weights::Tensors::open(job_.files));
    return tensors_;
  }

  /// Tensors that are about to be read whole.
  const weights::Tensors& source() {
    packed_ = true;
    if (!check_) check_.emplace(tensors(), identity_.hashes);
    return *tensors();
  }

  /// Before anything that came from source() is kept or used. Throws where the files are not what they are taken for.
  void check_source() {
    check_->finish([&] { step(0, 0); });
    if (identify(job_.source, job_.files).content == identity_.content) return;
    throw Error(Errc::io_error, "the weights of " + job_.source + " were changed while they were being read; try again",
                {.file = job_.files.front().string()});
  }

  void write(Precision precision, const std::optional<models::Agreement>& agreement) {
    const auto writer = store_.writer(key(precision));
    if (!writer) return;
    log(LogLevel::debug, job_.source + ": packing the weights in " + to_string(precision));
    models::Trial trial{precision, writer.get()};
    models::pack_encoder(job_.spec, source(), context(precision), {&trial, 1});
    check_source();
    store_.commit(*writer, key(precision), agreement);
  }

  /// What each costs against f32. The first is also written, and kept where it reaches `needed`.
  std::vector<models::Agreement> try_at(const std::vector<Precision>& precisions, models::Agreement needed) {
    const CalibrationTexts texts = calibration_texts(*job_.tokenizer);
    models::Calibration calibration{texts.ids, texts.offsets, {}};
    models::LoadContext trying = context(precisions.front());
    trying.calibration = &calibration;
    const auto writer = store_.writer(key(precisions.front()));
    log(LogLevel::debug, job_.source + ": packing the weights in " + to_string(precisions.front()) +
                             ", and comparing " + std::to_string(precisions.size()) + " of the precisions with f32");
    std::vector<models::Trial> trials;
    for (const Precision precision : precisions) trials.push_back({precision, nullptr, needed});
    trials.front().writer = writer.get();
    models::pack_encoder(job_.spec, source(), trying, trials);
    check_source();
    if (writer && trials.front().agreement.reaches(needed)) {
      store_.commit(*writer, key(precisions.front()), trials.front().agreement);
    }
    std::vector<models::Agreement> agreements;
    for (const models::Trial& trial : trials) agreements.push_back(trial.agreement);
    return agreements;
  }

  Loaded pack_in_memory(Precision precision, const std::optional<models::Agreement>& known) {
    if (!small_ && job_.on_more_needs) {
      LoadNeeds needs = needs_at(precision, false);
      needs.private_bytes_peak += packing_bytes({precision});
      job_.on_more_needs(needs);
    }
    models::LoadContext packing = context(precision);
    const CalibrationTexts texts = calibration_texts(*job_.tokenizer);
    models::Calibration calibration{texts.ids, texts.offsets, {}};
    const bool calibrates = precision != Precision::f32 && (!known || precision == Precision::int8);
    if (calibrates) packing.calibration = &calibration;
    Loaded loaded{models::make_encoder(job_.spec, source(), packing), known};
    check_source();
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
      if (known[candidate.precision].reaches(kNearLossless)) return {candidate, known[candidate.precision]};
    }
    throw Error(Errc::unsupported_processor, "no kernels for any precision");
  }

  std::shared_ptr<const LoadedEncoder> finish(Loaded loaded, PrecisionChoice choice) const {
    log(LogLevel::debug,
        job_.source + ": " + to_string(choice.precision) + " (" + choice.reason + "), weights " +
            (loaded.mapped ? (packed_ ? "packed, kept and mapped" : "mapped as an earlier start packed them")
                           : "packed in memory, not kept"));
    return std::make_shared<const LoadedEncoder>(
        LoadedEncoder{std::move(loaded.encoder), std::move(choice), packed_, loaded.mapped, job_.tokenizer});
  }

  const EncoderJob& job_;
  const bool small_;
  PackedStore store_;
  const SourceIdentity identity_;
  std::unique_ptr<PackedLock> lock_;  // null where nobody has to wait, or can
  std::shared_ptr<const weights::Tensors> tensors_;
  std::optional<SourceCheck> check_;  // once something is packed
  bool packed_ = false;
};

}  // namespace

std::shared_ptr<const LoadedEncoder> load_encoder(const EncoderJob& job, Precision wanted) {
  return EncoderLoading(job).load(wanted);
}

LoadNeeds load_needs(const EncoderJob& job, Precision wanted) {
  return EncoderLoading(job).needs(wanted);
}

std::optional<PrecisionChoice> known_choice(const EncoderJob& job, Precision wanted) {
  return EncoderLoading(job).known_choice(wanted);
}

}  // namespace stella::engine
