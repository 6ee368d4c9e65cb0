// Requests on their way through the compute threads.
#pragma once

#include "base/unique_function.hpp"
#include "engine/resolved.hpp"
#include "engine/validation.hpp"
#include "stella/request.hpp"
#include "tokenizer/tokenizer.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace stella::engine {

/// What a request is doing, from moment to moment. Its times add up to the time since it was made.
class TimeSheet {
 public:
  using Clock = std::chrono::steady_clock;

  void begin_tokenizing() noexcept { note(tokenizing_, 1); }
  void end_tokenizing() noexcept { note(tokenizing_, -1); }
  void begin_computing() noexcept { note(computing_, 1); }
  void end_computing() noexcept { note(computing_, -1); }
  /// queued, tokenizing and computing so far.
  void write(EmbedStats& stats) noexcept;

 private:
  void note(std::ptrdiff_t& counter, std::ptrdiff_t change) noexcept;

  Clock::time_point since_ = Clock::now();
  std::ptrdiff_t tokenizing_ = 0;  // texts
  std::ptrdiff_t computing_ = 0;   // texts
  EmbedStats sums_;
};

/// One request: what was asked, what the model added, and what there is of the answer. Texts are worked on in any order
/// and on several threads; each text's part of the answer is written by one of them.
class Job {
 public:
  explicit Job(Resolved model) : model_(std::move(model)) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  virtual std::size_t size() const noexcept = 0;
  /// Tokens of a text that is to be tokenized. Throws Error, with the text's index where the request wants that.
  void tokenize(std::size_t text);
  /// All texts have tokens: (texts) how many each, to be computed next; empty where tokens are all that was wanted.
  virtual std::vector<std::uint32_t> end_tokenizing() = 0;

  /// Whether it has been answered, or is being answered.
  bool is_over() const noexcept { return over_.load(); }
  /// Whoever gets true calls answer(), once.
  bool claim() noexcept { return !over_.exchange(true); }
  void answer(std::exception_ptr error) noexcept;
  void finish(std::exception_ptr error) noexcept {
    if (claim()) answer(std::move(error));
  }
  const Resolved& model() const noexcept { return model_; }

  // What the compute threads keep about it, under their mutex.
  struct Progress {
    std::uint64_t id = 0;
    TimeSheet times;
    std::size_t texts_out = 0;     // being tokenized
    std::size_t texts_left = 0;    // without tokens
    std::size_t vectors_left = 0;  // texts without vectors
    std::size_t passes = 0;        //
    std::uint64_t last_pass = 0;   // number of the last pass with texts of this
    std::size_t bad_text = 0;      // the first that failed, where `error` is set
    std::exception_ptr error;      //
  } progress;

 protected:
  virtual const std::string& text(std::size_t index) const = 0;
  virtual tokenizer::EncodeOptions encode_options() const = 0;
  virtual OnLong on_long() const noexcept = 0;
  virtual bool indexed_errors() const noexcept { return true; }
  virtual void keep(std::size_t text, tokenizer::Encoding encoding) = 0;
  virtual void complete(std::exception_ptr error) = 0;
  /// Throws Error(text_too_long) for a text of so many tokens.
  [[noreturn]] void refuse_length(std::size_t tokens) const;

  /// Calls `check` with the text's index in front of the message of an Error, where the request wants that.
  template <class Check>
  void at_text(std::size_t text, Check&& check) const {
    indexed_errors() ? at_index(text, check) : check();
  }

  const Resolved model_;
  std::atomic<bool> over_{false};

 private:
  tokenizer::Encoding encode(std::size_t text) const;
  void check_known(const tokenizer::Encoding& encoding) const;
};

class EmbeddingJob final : public Job {
 public:
  EmbeddingJob(EmbedRequest request, Resolved model, Completion<EmbedResult> done);

  /// Checks and cuts token ids, so that nothing is left to be found where requests share a pass. Throws
  /// Error(invalid_argument | empty_text | text_too_long).
  void check();

  std::size_t size() const noexcept override { return ids_.size(); }
  const EmbedRequest& request() const noexcept { return request_; }
  /// Whether token ids were given and not texts.
  bool is_tokenized() const noexcept { return request_.texts.empty(); }
  /// (texts): bytes, or tokens where they are known.
  std::vector<std::uint32_t> sizes() const;
  const TokenIds& ids(std::size_t text) const noexcept { return ids_[text]; }
  /// Where a text's vector of a head goes: (dimension).
  float* row(std::size_t head, std::size_t text) const noexcept {
    const FloatMatrix& matrix = result_.vectors[head];
    return matrix.values.get() + text * matrix.stride;
  }
  /// Room for a text's last hidden states, (tokens, hidden).
  float* make_states(std::size_t text, std::size_t hidden);
  /// A text needs its tokens no more.
  void drop_ids(std::size_t text) noexcept { TokenIds().swap(ids_[text]); }
  std::vector<std::uint32_t> end_tokenizing() override;
  /// What has been measured, before it is answered.
  void write_stats() noexcept;

 private:
  const std::string& text(std::size_t index) const override { return request_.texts[index]; }
  tokenizer::EncodeOptions encode_options() const override;
  OnLong on_long() const noexcept override { return request_.options.on_long; }
  bool indexed_errors() const noexcept override { return request_.indexed_errors; }
  void keep(std::size_t text, tokenizer::Encoding encoding) override;
  void complete(std::exception_ptr error) override;
  std::vector<std::uint32_t> tokens() const;
  void check_ids(std::size_t text);

  EmbedRequest request_;
  std::vector<TokenIds> ids_;  // (texts)
  EmbedResult result_;
  Completion<EmbedResult> done_;
};

class TokenizingJob final : public Job {
 public:
  TokenizingJob(TokenizeRequest request, Resolved model, Completion<std::vector<Tokens>> done);

  std::size_t size() const noexcept override { return request_.texts.size(); }
  std::vector<std::uint32_t> end_tokenizing() override { return {}; }
  std::vector<std::uint32_t> sizes() const;

 private:
  const std::string& text(std::size_t index) const override { return request_.texts[index]; }
  tokenizer::EncodeOptions encode_options() const override;
  OnLong on_long() const noexcept override { return request_.options.on_long; }
  void keep(std::size_t text, tokenizer::Encoding encoding) override;
  void complete(std::exception_ptr error) override;

  TokenizeRequest request_;
  std::vector<Tokens> result_;
  Completion<std::vector<Tokens>> done_;
};

}  // namespace stella::engine
