// The same operations for programs without an event loop: each call blocks its thread until the result is there and
// throws stella::Error. Includes no Asio.
#pragma once

#include "stella/callback.hpp"
#include "stella/error.hpp"
#include "stella/model.hpp"

#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace stella::sync {

/// Throws Error(invalid_argument) on a Runtime's thread, whose work a blocking call may need.
void check_may_block();

/// Calls start(done), which starts an operation with the callback `done`, and blocks until that has been called. Throws
/// the operation's error, or as check_may_block().
template <class T, class Start>
T wait_for(Start start) {
  check_may_block();
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> result = promise->get_future();
  start(on_any_thread([promise](std::exception_ptr error, T value) {
    if (error) {
      promise->set_exception(std::move(error));
    } else {
      promise->set_value(std::move(value));
    }
  }));
  return result.get();
}

/// stella::Model, blocking. Cheap to copy, thread-safe. Every call ends with Error(cancelled) once `stop` is requested,
/// from another thread.
class Model {
 public:
  explicit Model(stella::Model model) : model_(std::move(model)) {}

  /// Makes the model and loads it: Model::Model() and Model::load() say which errors there are.
  static Model load(const std::string& name, ModelOptions options = {}, std::stop_token stop = {}) {
    Model model{stella::Model(name, std::move(options))};
    wait_for<ModelDescription>([&](auto done) { model.model_.load(std::move(stop), std::move(done)); });
    return model;
  }

  /// One text's vector: (dimension) floats. No dimension: the model's default.
  std::vector<float> embed(std::string text, std::string task = {}, std::optional<std::size_t> dimension = {},
                           std::stop_token stop = {}) const {
    const EmbedResult result = embed(request_for(std::move(text), std::move(task), dimension), std::move(stop));
    const auto row = result.vectors.front().row(0);
    return {row.begin(), row.end()};
  }
  std::vector<Embedding> batch_embed(std::vector<std::string> texts, EmbedOptions options = {},
                                     std::stop_token stop = {}) const {
    EmbedRequest request;
    request.texts = std::move(texts);
    request.options = std::move(options);
    return to_embeddings(embed(std::move(request), std::move(stop)));
  }
  EmbedResult embed(EmbedRequest request, std::stop_token stop = {}) const {
    return wait_for<EmbedResult>(
        [&](auto done) { model_.embed(std::move(request), std::move(stop), std::move(done)); });
  }
  std::vector<Tokens> tokenize(TokenizeRequest request, std::stop_token stop = {}) const {
    return wait_for<std::vector<Tokens>>(
        [&](auto done) { model_.tokenize(std::move(request), std::move(stop), std::move(done)); });
  }
  std::vector<std::string> decode(DecodeRequest request, std::stop_token stop = {}) const {
    return wait_for<std::vector<std::string>>(
        [&](auto done) { model_.decode(std::move(request), std::move(stop), std::move(done)); });
  }
  ModelDescription describe(std::stop_token stop = {}) const {
    return wait_for<ModelDescription>([&](auto done) { model_.describe(std::move(stop), std::move(done)); });
  }
  bool check_health(std::stop_token stop = {}) const {
    return wait_for<bool>([&](auto done) { model_.check_health(std::move(stop), std::move(done)); });
  }
  std::vector<DownloadedFile> download(DownloadRequest request, std::stop_token stop = {}) const {
    return wait_for<std::vector<DownloadedFile>>(
        [&](auto done) { model_.download(std::move(request), std::move(stop), std::move(done)); });
  }
  std::filesystem::path huggingface_file(std::string registry_key, std::string file, std::stop_token stop = {}) const {
    return wait_for<std::filesystem::path>([&](auto done) {
      model_.huggingface_file(std::move(registry_key), std::move(file), std::move(stop), std::move(done));
    });
  }

  /// What can be said without waiting.
  const stella::Model& model() const noexcept { return model_; }
  std::vector<std::size_t> supported_dimensions() const { return model_.supported_dimensions(); }

 private:
  stella::Model model_;
};

/// One file of a repository, from the hub's cache or the hub; no model is made of it. No `hub`: as the environment
/// says.
std::filesystem::path huggingface_file(const std::string& registry_key, const std::string& file,
                                       const std::string& revision = "main", std::optional<HubOptions> hub = {});

}  // namespace stella::sync
