// The model that is served, from the start of its loading on.
#pragma once

#include "server/options.hpp"
#include "server/routes/facts.hpp"
#include "stella/model.hpp"

#include <memory>
#include <mutex>
#include <stop_token>

#include <boost/asio/awaitable.hpp>

namespace stella::server {

/// Thread-safe.
class Backend {
 public:
  Backend(const Options& options, Model model);

  /// Loads tokenizer, encoder and default head. Throws Error, also where the model has no prompt of the default's name.
  boost::asio::awaitable<void> load(std::stop_token stop);

  const Model& model() const noexcept { return model_; }
  /// Null until all is loaded.
  std::shared_ptr<const ModelFacts> facts() const;

 private:
  ModelFacts facts_of(ModelDescription description) const;
  boost::asio::awaitable<void> find_template(ModelFacts& facts, std::stop_token stop);

  const Options options_;
  const Model model_;
  mutable std::mutex mutex_{};
  std::shared_ptr<const ModelFacts> facts_{};  // guarded by mutex_
};

}  // namespace stella::server
