// For the tests of Compute: encoders that compute nothing, and requests for them.
#pragma once

#include "engine/compute.hpp"
#include "engine/test_support.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace stella::engine::test {

/// Stands where an encoder does and records the batches it is given. A sequence's vector is (length, sum of its ids).
class RecordingEncoder final : public models::Encoder {
 public:
  explicit RecordingEncoder(Gate* gate = nullptr) : gate_(gate) {}

  const float* forward(const models::PackedBatch& batch, float* pooled, ParallelTeam&, models::Activations&,
                       FunctionRef<bool()>) const override {
    std::vector<std::size_t> lengths;
    for (std::size_t s = 0; s < batch.sequences(); ++s) {
      const auto ids = batch.ids.subspan(static_cast<std::size_t>(batch.offsets[s]),
                                         static_cast<std::size_t>(batch.offsets[s + 1] - batch.offsets[s]));
      lengths.push_back(ids.size());
      float sum = 0;
      for (const std::int32_t id : ids) sum += static_cast<float>(id);
      pooled[2 * s] = static_cast<float>(ids.size());
      pooled[2 * s + 1] = sum;
    }
    {
      const std::lock_guard lock(mutex_);
      batches_.push_back(std::move(lengths));
    }
    if (gate_ != nullptr) gate_->pass();
    return pooled;
  }
  std::size_t hidden() const noexcept override { return 2; }
  std::size_t weight_bytes() const noexcept override { return 0; }

  std::vector<std::vector<std::size_t>> batches() const {
    const std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  Gate* gate_;
  mutable std::mutex mutex_;
  mutable std::vector<std::vector<std::size_t>> batches_;  // lengths of the sequences of each forward pass
};

inline std::shared_ptr<const tokenizer::Tokenizer> test_tokenizer() {
  static const auto tokenizer = std::make_shared<const tokenizer::Tokenizer>(
      tokenizer::Tokenizer::from_file(STELLA_TEST_DATA "/checkpoints/stella-small-tiny/tokenizer.json"));
  return tokenizer;
}

/// `words` single-token words; with [CLS] and [SEP] two tokens more.
inline std::string words(std::size_t count, const std::string& word = "a") {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += word + " ";
  return text;
}

/// Has no memory left.
class FailingEncoder final : public models::Encoder {
 public:
  const float* forward(const models::PackedBatch&, float*, ParallelTeam&, models::Activations&,
                       FunctionRef<bool()>) const override {
    throw std::bad_alloc();
  }
  std::size_t hidden() const noexcept override { return 2; }
  std::size_t weight_bytes() const noexcept override { return 0; }
};

/// A request of texts or of token ids, and what a model adds to it.
struct Asked {
  EmbedRequest request;
  Resolved model;
};

inline Resolved model_of(std::shared_ptr<const models::Encoder> encoder) {
  Resolved model;
  model.tokenizer = test_tokenizer();
  model.encoder = std::move(encoder);
  if (model.encoder) model.heads = {{2, nullptr}};
  model.max_length = 8192;
  model.vocab_size = 1'000'000;
  model.normalize = false;
  return model;
}

inline Asked request_for(std::shared_ptr<const models::Encoder> encoder, std::vector<std::string> texts) {
  return {{.texts = std::move(texts)}, model_of(std::move(encoder))};
}

inline Asked bulk_request_for(std::shared_ptr<const models::Encoder> encoder, std::vector<std::string> texts) {
  Asked asked = request_for(std::move(encoder), std::move(texts));
  asked.request.options.priority = Priority::bulk;
  return asked;
}

inline void submit(Compute& compute, Asked asked, const std::stop_token& stop, Completion<EmbedResult> done) {
  compute.embed(std::move(asked.request), std::move(asked.model), stop, std::move(done));
}

inline std::vector<float> lengths_of(const EmbedResult& result) {
  std::vector<float> lengths;
  for (std::size_t i = 0; i < result.texts.size(); ++i) lengths.push_back(result.vectors.at(0).row(i)[0]);
  return lengths;
}

}  // namespace stella::engine::test
