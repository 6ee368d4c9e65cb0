// One model's files, and what has been made of them so far.
#pragma once

#include "base/unique_function.hpp"
#include "engine/checkpoint.hpp"
#include "engine/encoder_loading.hpp"
#include "engine/machine.hpp"
#include "engine/memory_gate.hpp"
#include "engine/model_files.hpp"
#include "engine/shared_once.hpp"
#include "models/encoder.hpp"
#include "stella/request.hpp"
#include "tokenizer/tokenizer.hpp"

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

/// Sets up what loading uses and what is taken down at exit, in the reverse order: to be called before anything is
/// registered that ends loads at exit.
void prepare_loading();

struct ModelSetup {
  std::shared_ptr<ModelFiles> files;
  KnownModel known;
  Precision precision = Precision::automatic;
  std::function<void(double fraction)> on_load{};
  std::filesystem::path packed_folder{};                     // where packed weights are kept; empty: nowhere
  std::size_t small_encoder_bytes = std::size_t{32} << 20U;  // EncoderJob::small_bytes
  std::shared_ptr<MemoryGate> memory{};                      // asked before encoder and heads are loaded; null: nobody
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
/// again. Thread-safe. Completions run on the loading threads of Machine, or on the thread that requests a stop; or
/// inline where nothing had to be waited for.
///
/// A part is made from top to bottom on one thread, which waits for files and for other parts. They wait for each other
/// in one direction: encoder → tokenizer → checkpoint ← head.
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
  /// What loading the encoder will take. Fetches its files; nothing is loaded, and nothing allocated for it.
  void needs(const std::stop_token& stop, Completion<LoadNeeds> done);
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
  ModelParts(const Machine& machine, ModelSetup setup) : machine_(machine), setup_(std::move(setup)) {}
  void prepare();
  template <class T, class Make>
  std::shared_ptr<SharedOnce<T>> part(Make make) const;
  template <class T, class Work>
  void on_a_thread(const std::stop_token& stop, Completion<T> done, Work work) const;
  std::shared_ptr<SharedOnce<Head>> head_part(std::size_t dimension);
  std::vector<std::shared_ptr<SharedOnce<Head>>> head_parts() const;

  // These block.
  template <class Work>
  auto until_stopped(const std::stop_token& asked, Work work) const;
  template <class Make>
  auto make_or_mend(const std::stop_token& stop, Make make) const;
  std::shared_ptr<const tokenizer::Tokenizer> make_tokenizer(const std::stop_token& stop) const;
  std::shared_ptr<const LoadedEncoder> make_encoder(const std::stop_token& stop) const;
  std::shared_ptr<const Head> make_head(std::size_t dimension, const std::stop_token& stop) const;
  std::vector<DownloadedFile> fetch_all(const DownloadRequest& request, const std::stop_token& stop) const;
  std::shared_ptr<MemoryLease> reserve(ModelPart part, const LoadNeeds& needs, const std::stop_token& stop) const;
  EncoderJob encoder_job(const Checkpoint& checkpoint, std::vector<std::filesystem::path> files) const;
  std::optional<PrecisionChoice> precision_choice(const Checkpoint& checkpoint) const;

  const Machine machine_;
  const ModelSetup setup_;
  std::shared_ptr<SharedOnce<Checkpoint>> checkpoint_;
  std::shared_ptr<SharedOnce<tokenizer::Tokenizer>> tokenizer_;
  std::shared_ptr<SharedOnce<LoadedEncoder>> encoder_;
  mutable std::mutex heads_mutex_;
  std::map<std::size_t, std::shared_ptr<SharedOnce<Head>>> heads_;  // guarded by heads_mutex_
};

}  // namespace stella::engine
