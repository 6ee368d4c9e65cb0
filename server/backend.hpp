// The models that are served: which there are, what is known of them, and the pool that has them.
#pragma once

#include "server/loading.hpp"
#include "server/observe/pool_figures.hpp"
#include "server/options.hpp"
#include "server/routes/facts.hpp"
#include "stella/pass_counters.hpp"
#include "stella/pool.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace stella::server {

/// Thread-safe.
class Backend {
 public:
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;

  /// `model`: how all models are fetched and loaded; its revision is the default model's alone. Throws
  /// Error(invalid_argument), for options that contradict each other too.
  Backend(const Options& options, ModelOptions model);

  /// Loads the default model: tokenizer, encoder and default head. Throws Error, also where it has no prompt of the
  /// default's name.
  boost::asio::awaitable<void> load_default(std::stop_token stop);
  /// Then the others of Options::models. What cannot be loaded is told to the log, and tried again when it is asked
  /// for.
  boost::asio::awaitable<void> load_others(std::stop_token stop);

  /// Of the default model; null until it has been loaded.
  std::shared_ptr<const ModelFacts> facts() const;
  /// Of the model that a request names: the default one where the name is empty. Loads what was not loaded yet. Throws
  /// ApiError(model_not_found | unhealthy), and Error where loading fails or takes too long.
  boost::asio::awaitable<std::shared_ptr<const ModelFacts>> facts_for(std::string name, std::stop_token stop,
                                                                      Deadline deadline);

  /// What the facts say of limits and defaults, from now on.
  void set_options(const Options& options);

  /// All that clients may name; the first is the default one.
  const std::vector<ServedModel>& models() const noexcept { return models_; }
  /// Throws ApiError(model_not_found) that lists the names.
  const ServedModel& at(const std::string& name) const;
  /// Models have the name that `ServedModel::id` says.
  ModelPool& pool() noexcept { return pool_; }
  std::size_t compute_threads() const noexcept;
  PassCounters passes() const { return pass_counters(*runtime_); }
  /// What the models and the hub's transfers are like, for /metrics.
  void append_figures(std::string& out);
  /// How far the default model has come, in words.
  std::string progress() const { return loading_->text(); }

 private:
  const ServedModel* find(std::string_view name) const noexcept;
  boost::asio::awaitable<std::shared_ptr<const ModelFacts>> load(std::size_t model, std::stop_token stop);
  ModelFacts facts_of(const ServedModel& model, ModelDescription description) const;
  boost::asio::awaitable<void> find_template(ModelFacts& facts, std::stop_token stop);

  const std::shared_ptr<Runtime> runtime_;
  const std::size_t preloaded_;  ///< The first of models_, which are loaded without being asked for.
  const std::shared_ptr<HubTransfers> transfers_ = std::make_shared<HubTransfers>();
  const std::shared_ptr<Loading> loading_ = std::make_shared<Loading>();
  std::vector<ServedModel> models_{};
  ModelPool pool_;
  mutable std::mutex mutex_{};
  Options options_;                                         // guarded by mutex_
  std::vector<std::shared_ptr<const ModelFacts>> facts_{};  ///< Of each of models_; guarded by mutex_.
};

}  // namespace stella::server
