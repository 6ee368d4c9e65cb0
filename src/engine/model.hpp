// One model: its parts, and the requests to it.
#pragma once

#include "base/unique_function.hpp"
#include "engine/compute.hpp"
#include "engine/machine.hpp"
#include "engine/model_parts.hpp"
#include "stella/options.hpp"
#include "stella/request.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace stella::engine {

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

/// Requests of one model: gathers the parts that each needs and hands it to the compute thread. Thread-safe.
/// Completions run as those of ModelParts and Compute do.
class Model : public std::enable_shared_from_this<Model> {
 public:
  static std::shared_ptr<Model> create(const Machine& machine, ModelSetup setup);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() = default;

  void tokenize(TokenizeJob job, const std::stop_token& stop, Completion<TextResults> done);
  void embed(EmbedJob job, const std::stop_token& stop, Completion<std::vector<Embedding>> done);
  ModelParts& parts() const noexcept { return *parts_; }

 private:
  struct Request;

  Model(const Machine& machine, ModelSetup setup)
      : machine_(machine), parts_(ModelParts::create(machine, std::move(setup))) {}
  void start(std::shared_ptr<Request> request, const std::stop_token& stop);
  void gather(const std::shared_ptr<Request>& request, const std::stop_token& stop);
  void resolve(Request& request, std::shared_ptr<const Checkpoint> checkpoint) const;
  void check_room_and_submit(const std::shared_ptr<Request>& request, const std::stop_token& stop);
  void submit(Request& request, const std::stop_token& stop) const;

  const Machine machine_;
  const std::shared_ptr<ModelParts> parts_;
};

}  // namespace stella::engine
