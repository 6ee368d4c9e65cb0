// Requests to one model.
#pragma once

#include "base/unique_function.hpp"
#include "engine/join.hpp"
#include "engine/machine.hpp"
#include "engine/model_parts.hpp"
#include "engine/pending.hpp"
#include "stella/request.hpp"

#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace stella::engine {

/// Requests to one model: gathers the parts that each needs and hands it to the compute threads. Thread-safe.
/// Completions run as those of ModelParts and Compute do.
class Model : public std::enable_shared_from_this<Model> {
 public:
  static std::shared_ptr<Model> create(const Machine& machine, ModelSetup setup);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() = default;

  void embed(EmbedRequest request, const std::stop_token& stop, Completion<EmbedResult> done);
  void tokenize(TokenizeRequest request, const std::stop_token& stop, Completion<std::vector<Tokens>> done);
  void decode(DecodeRequest request, const std::stop_token& stop, Completion<std::vector<std::string>> done);
  ModelParts& parts() const noexcept { return *parts_; }

 private:
  using PendingPtr = std::shared_ptr<Pending>;

  Model(const Machine& machine, ModelSetup setup)
      : machine_(machine), parts_(ModelParts::create(machine, std::move(setup))) {}
  void start(PendingPtr pending, const std::stop_token& stop);
  void gather(const PendingPtr& pending, const std::stop_token& stop);
  void gather_heads(const PendingPtr& pending, Join& join) const;
  void check_room_and_submit(const PendingPtr& pending, const std::stop_token& stop);

  const Machine machine_;
  const std::shared_ptr<ModelParts> parts_;
};

}  // namespace stella::engine
