// One model's files, and what has been made of them so far.
#pragma once

#include "base/unique_function.hpp"
#include "engine/checkpoint.hpp"
#include "engine/encoder_loading.hpp"
#include "engine/machine.hpp"
#include "engine/model_files.hpp"
#include "engine/shared_once.hpp"
#include "models/encoder.hpp"
#include "stella/request.hpp"
#include "tokenizer/tokenizer.hpp"
#include "weights/tensors.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace stella::engine {

struct ModelSetup {
  std::shared_ptr<ModelFiles> files;
  KnownModel known;
  Precision precision = Precision::automatic;
  std::function<void(double fraction)> on_load{};
  std::filesystem::path packed_folder{};                     // where packed weights are kept; empty: nowhere
  std::size_t small_encoder_bytes = std::size_t{32} << 20U;  // EncoderJob::small_bytes
};

/// A dense head, packed.
struct Head {
  std::shared_ptr<const models::DenseHead> head;
};

/// What is known without loading.
struct Description {
  std::shared_ptr<const Checkpoint> checkpoint;
  /// From memory, from an earlier run on this machine, or as asked for. Nothing where the first load will decide, or
  /// where the weights are not here.
  std::optional<PrecisionChoice> choice;
};

/// What a model computes with, but for its heads.
struct LoadedParts {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  std::shared_ptr<const LoadedEncoder> encoder;
};

/// The parts of a model: checkpoint (the small files), tokenizer, encoder and every head. Each is fetched and loaded
/// when first needed, once however many ask, and then kept; a failure fails those who wait and the next call tries
/// again. Thread-safe. Completions run on the threads of Machine and of ModelFiles, or on the thread that requests a
/// stop; or inline where nothing had to be waited for.
class ModelParts : public std::enable_shared_from_this<ModelParts> {
 public:
  static std::shared_ptr<ModelParts> create(const Machine& machine, ModelSetup setup);
  ModelParts(const ModelParts&) = delete;
  ModelParts& operator=(const ModelParts&) = delete;
  ~ModelParts() = default;

  void checkpoint(const std::stop_token& stop, Completion<std::shared_ptr<const Checkpoint>> done) {
    checkpoint_->get(stop, std::move(done));
  }
  void tokenizer(const std::stop_token& stop, Completion<std::shared_ptr<const tokenizer::Tokenizer>> done) {
    tokenizer_->get(stop, std::move(done));
  }
  void encoder(const std::stop_token& stop, Completion<std::shared_ptr<const LoadedEncoder>> done) {
    encoder_->get(stop, std::move(done));
  }
  /// `dimension` is one of the checkpoint's heads.
  void head(std::size_t dimension, const std::stop_token& stop, Completion<std::shared_ptr<const Head>> done) {
    head_part(dimension)->get(stop, std::move(done));
  }

  void describe(const std::stop_token& stop, Completion<Description> done);
  /// Checkpoint, tokenizer and encoder; no head.
  void load(const std::stop_token& stop, Completion<LoadedParts> done);
  /// Every file that embedding at these dimensions needs, concurrently.
  void download(DownloadRequest request, const std::stop_token& stop, Completion<std::vector<DownloadedFile>> done);

  /// What is in memory now; null and 0 before.
  std::shared_ptr<const Checkpoint> peek_checkpoint() const { return checkpoint_->peek(); }
  std::shared_ptr<const tokenizer::Tokenizer> peek_tokenizer() const { return tokenizer_->peek(); }
  std::shared_ptr<const LoadedEncoder> peek_encoder() const { return encoder_->peek(); }
  std::shared_ptr<const Head> peek_head(std::size_t dimension) const;
  bool is_loaded() const { return peek_tokenizer() != nullptr && peek_encoder() != nullptr; }
  MemoryUse memory() const;  ///< Of encoder and heads.

  /// Drops tokenizer, encoder and heads, so that the next to ask loads them again; whoever holds one keeps it. The
  /// checkpoint is small and stays.
  void let_go();

  ModelFiles& files() const noexcept { return *setup_.files; }
  const KnownModel& known() const noexcept { return setup_.known; }

 private:
  using TensorFiles = std::vector<std::filesystem::path>;

  ModelParts(const Machine& machine, ModelSetup setup) : machine_(machine), setup_(std::move(setup)) {}
  void prepare();
  template <class T, class Make>
  void make_or_mend(const std::stop_token& stop, Completion<std::shared_ptr<const T>> done, Make make);
  void make_tokenizer(const std::stop_token& stop, Completion<std::shared_ptr<const tokenizer::Tokenizer>> done);
  void make_encoder(const std::stop_token& stop, Completion<std::shared_ptr<const LoadedEncoder>> done);
  void make_head(std::size_t dimension, const std::stop_token& stop, Completion<std::shared_ptr<const Head>> done);
  std::shared_ptr<SharedOnce<Head>> head_part(std::size_t dimension);
  std::vector<std::shared_ptr<SharedOnce<Head>>> head_parts() const;
  std::shared_ptr<const LoadedEncoder> pack_encoder(const Checkpoint& checkpoint, const TensorFiles& files,
                                                    std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                                    const std::stop_token& stop) const;
  EncoderJob encoder_job(const Checkpoint& checkpoint, TensorFiles files) const;
  std::optional<PrecisionChoice> precision_choice(const Checkpoint& checkpoint) const;
  std::shared_ptr<const Head> pack_head(const Checkpoint& checkpoint, std::size_t dimension,
                                        const std::filesystem::path& config, const std::filesystem::path& weights,
                                        const std::stop_token& stop) const;

  const Machine machine_;
  const ModelSetup setup_;
  std::shared_ptr<SharedOnce<Checkpoint>> checkpoint_;
  std::shared_ptr<SharedOnce<tokenizer::Tokenizer>> tokenizer_;
  std::shared_ptr<SharedOnce<LoadedEncoder>> encoder_;
  mutable std::mutex heads_mutex_;
  std::map<std::size_t, std::shared_ptr<SharedOnce<Head>>> heads_;  // guarded by heads_mutex_
};

}  // namespace stella::engine
