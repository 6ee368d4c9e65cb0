// Which arithmetic a model is packed for.
//
// f32 is exact. int16 and bf16 are near-lossless, int8 is lossy: each is compared with f32 on built-in texts when a
// checkpoint is packed for it. `automatic` is the fastest on this processor, measured with this library's own kernels,
// of those that agree with f32 on this checkpoint; within 5 % int16 goes before bf16, and that before f32.
#pragma once

#include "base/thread_pool.hpp"
#include "kernels/kernels.hpp"
#include "models/calibration.hpp"
#include "stella/options.hpp"
#include "tokenizer/tokenizer.hpp"
#include "weights/model_spec.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace stella::engine {

/// What a precision must reach against f32 before `automatic` takes it.
inline constexpr models::Agreement kNearLossless{0.9999, 0.9995};

/// Throws Error(unsupported_processor) where `kernels` cannot run `wanted`; it names those that they can.
void check_precision(const kernels::Kernels& kernels, Precision wanted);

struct RankedPrecision {
  Precision precision = Precision::f32;
  double speed = 1;  // as a multiple of f32's
};

/// The order for speeds that were measured: best first, within 5 % of the fastest by preference. Ends with f32.
std::vector<RankedPrecision> rank_precisions(std::vector<RankedPrecision> measured);
/// Measures every precision that `automatic` may stand for on products of this encoder's sizes.
std::vector<RankedPrecision> measure_precisions(const kernels::Kernels& kernels, const weights::EncoderSpec& spec,
                                                ParallelTeam& team);

/// Why `chosen` was taken, for people.
std::string describe_choice(const RankedPrecision& chosen, const models::Agreement& agreement);

/// The built-in texts as a packed batch: questions, passages, code, numbers, several languages.
struct CalibrationTexts {
  std::vector<std::int32_t> ids;      // (tokens)
  std::vector<std::int32_t> offsets;  // (texts + 1)
  std::size_t count() const noexcept { return offsets.size() - 1; }
};
CalibrationTexts calibration_texts(const tokenizer::Tokenizer& tokenizer);

}  // namespace stella::engine
