// One model: its files, and what has been made of them so far.
#pragma once

#include "base/unique_function.hpp"
#include "engine/checkpoint.hpp"
#include "engine/compute.hpp"
#include "engine/encoder_loading.hpp"
#include "engine/model_files.hpp"
#include "engine/shared_once.hpp"
#include "kernels/kernels.hpp"
#include "models/encoder.hpp"
#include "stella/options.hpp"
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
#include <vector>

namespace stella {
class ThreadPool;
}

namespace stella::engine {

/// The threads that a model uses. They outlive every operation, but not always the Model object, which then stays idle.
struct Machine {
  ThreadPool* pool = nullptr;
  Compute* compute = nullptr;
  const kernels::Kernels* kernels = nullptr;
  std::stop_token shut_down{};  // packing weights looks at it between two tensors
};

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

struct TokenizeJob {
  std::vector<std::string> texts;
  std::string task;
  std::optional<std::string> prompt;
  std::optional<std::size_t> max_length;
  bool add_special_tokens = true;
  OnLong on_long = OnLong::truncate;
};

struct EmbedJob {
  std::vector<std::string> texts;
  EmbedOptions options;
  bool indexed_errors = true;  // "Text at index {i}: …"
  bool limit_batch = true;     // refuse an empty batch, or one of more than kMaxBatchTexts
};

/// What is known without loading.
struct Description {
  std::shared_ptr<const Checkpoint> checkpoint;
  /// From memory, from an earlier run on this machine, or as asked for. Nothing where the first load will decide, or
  /// where the weights are not here.
  std::optional<PrecisionChoice> choice;
};

/// A file that download() fetched.
struct FetchedFile {
  std::string file;
  std::filesystem::path path;
  std::uint64_t size = 0;
};

/// A model by its files: each part (small files, tokenizer, encoder, every head) is fetched and loaded when first
/// needed, once however many ask, and then kept; a failure fails those who wait and the next call tries again.
/// Thread-safe. Completions run on the threads of Machine and of ModelFiles, or on the thread that requests a stop; or
/// inline where nothing had to be waited for.
class Model : public std::enable_shared_from_this<Model> {
 public:
  static std::shared_ptr<Model> create(const Machine& machine, ModelSetup setup);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() = default;

  void describe(const std::stop_token& stop, Completion<Description> done);
  /// Small files, tokenizer and encoder; no head.
  void load(const std::stop_token& stop, Completion<std::shared_ptr<const Checkpoint>> done);
  void tokenize(TokenizeJob job, const std::stop_token& stop, Completion<TextResults> done);
  void embed(EmbedJob job, const std::stop_token& stop, Completion<std::vector<Embedding>> done);
  /// Every file that embedding at `dimensions` needs (empty: the default one; all_heads: every one), concurrently.
  void download(std::vector<std::size_t> dimensions, bool all_heads, const std::stop_token& stop,
                Completion<std::vector<FetchedFile>> done);

  /// What is in memory now; null and 0 before.
  std::shared_ptr<const Checkpoint> checkpoint() const { return checkpoint_->peek(); }
  std::shared_ptr<const Weights> weights() const { return weights_->peek(); }
  std::size_t weight_bytes() const;
  ModelFiles& files() const noexcept { return *setup_.files; }

 private:
  struct Request;
  using TensorFiles = std::vector<std::filesystem::path>;

  Model(const Machine& machine, ModelSetup setup) : machine_(machine), setup_(std::move(setup)) {}
  void prepare();
  template <class T, class Make>
  void make_or_mend(const std::stop_token& stop, Completion<std::shared_ptr<const T>> done, Make make);
  void make_tokenizer(const std::stop_token& stop, Completion<std::shared_ptr<const tokenizer::Tokenizer>> done);
  void make_weights(const std::stop_token& stop, Completion<std::shared_ptr<const Weights>> done);
  void make_head(std::size_t dimension, const std::stop_token& stop, Completion<std::shared_ptr<const Head>> done);
  std::shared_ptr<SharedOnce<Head>> head(std::size_t dimension);
  std::shared_ptr<const Weights> pack_encoder(const Checkpoint& checkpoint, const TensorFiles& files,
                                              std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                              const std::stop_token& stop) const;
  EncoderJob encoder_job(const Checkpoint& checkpoint, TensorFiles files) const;
  std::optional<PrecisionChoice> precision_choice(const Checkpoint& checkpoint) const;
  std::shared_ptr<const Head> pack_head(const Checkpoint& checkpoint, std::size_t dimension,
                                        const std::filesystem::path& config, const std::filesystem::path& weights,
                                        const std::stop_token& stop) const;
  void start(std::shared_ptr<Request> request, const std::stop_token& stop);
  void gather(const std::shared_ptr<Request>& request, const std::stop_token& stop);
  void resolve(Request& request, std::shared_ptr<const Checkpoint> checkpoint) const;
  void check_room_and_submit(const std::shared_ptr<Request>& request, const std::stop_token& stop);
  void submit(Request& request, const std::stop_token& stop) const;

  const Machine machine_;
  const ModelSetup setup_;
  std::shared_ptr<SharedOnce<Checkpoint>> checkpoint_;
  std::shared_ptr<SharedOnce<tokenizer::Tokenizer>> tokenizer_;
  std::shared_ptr<SharedOnce<Weights>> weights_;
  mutable std::mutex heads_mutex_;
  std::map<std::size_t, std::shared_ptr<SharedOnce<Head>>> heads_;  // guarded by heads_mutex_
};

/// model.safetensors, or the shards that model.safetensors.index.json names, concurrently.
void fetch_tensor_files(const std::shared_ptr<ModelFiles>& files, ThreadPool& pool, const std::stop_token& stop,
                        Completion<std::vector<FetchedFile>> done);

}  // namespace stella::engine
