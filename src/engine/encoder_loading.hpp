// From a checkpoint's weights on disk to an encoder in memory, at the precision asked for.
#pragma once

#include "engine/memory_gate.hpp"
#include "engine/packed_store.hpp"
#include "engine/precision.hpp"
#include "models/encoder.hpp"
#include "tokenizer/tokenizer.hpp"
#include "weights/model_spec.hpp"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace stella::engine {

/// The encoder, packed.
struct LoadedEncoder {
  std::shared_ptr<const models::Encoder> encoder;
  PrecisionChoice choice;  // never automatic
  bool packed = false;     // by this load
  bool mapped = false;     // from packed weights on disk, which this load may have written
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;  // that it was calibrated with
};

struct EncoderJob {
  std::string source;                        // for messages
  weights::EncoderSpec spec;                 //
  std::vector<std::filesystem::path> files;  // the safetensors
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  const kernels::Kernels* kernels = nullptr;
  ParallelTeam* team = nullptr;
  models::LoadProgress on_progress{};     // throws to give up
  std::filesystem::path packed_folder{};  // where packed weights are kept; empty: nowhere
  /// Encoders of fewer source bytes are packed in no time: nothing is kept of them, and `automatic` is f32.
  std::size_t small_bytes = 0;
  /// Called where more memory is needed than load_needs() said, because nothing could be kept; throws to give up.
  std::function<void(const LoadNeeds&)> on_more_needs{};
};

/// Blocks on the disk and computes for seconds where the model is packed for the first time. Throws the errors of
/// models::make_encoder(), check_precision() and what on_progress throws; Error(integrity) of a damaged file of the
/// hub's cache, which is noticed before anything is kept of it; Error(io_error) of files that change meanwhile.
std::shared_ptr<const LoadedEncoder> load_encoder(const EncoderJob& job, Precision wanted);

/// What load_encoder() will take at the most: from the files' headers, and what is kept of them. Throws as that does.
LoadNeeds load_needs(const EncoderJob& job, Precision wanted);

/// What `wanted` stands for as far as that is known without loading: chosen by an earlier run, or asked for. Nothing
/// where the first load will decide.
std::optional<PrecisionChoice> known_choice(const EncoderJob& job, Precision wanted);

}  // namespace stella::engine
