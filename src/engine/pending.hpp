// A request while the parts of the model that it needs are being gathered.
#pragma once

#include "base/unique_function.hpp"
#include "engine/compute.hpp"
#include "engine/model_parts.hpp"
#include "engine/resolved.hpp"
#include "stella/request.hpp"

#include <cstddef>
#include <exception>
#include <memory>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

namespace stella::engine {

/// What to gather, and what has been. Each branch of a join writes a member of its own.
class Pending {
 public:
  struct Needs {
    bool tokenizer = false;
    bool encoder = false;
  };

  virtual ~Pending() = default;

  virtual Needs needs() const noexcept = 0;
  /// Cheap checks, and what the registry already knows.
  virtual void check_sizes(const KnownModel& known) const = 0;
  /// Reads every text.
  virtual void check_texts() const = 0;
  /// Fills in what the checkpoint decides, and checks what it allows.
  virtual void resolve(const KnownModel& known, const Checkpoint& checkpoint) = 0;
  /// Throws Error(invalid_argument) where prompt and special tokens take the whole length: every text would be cut to
  /// nothing, and all would get the same vector. Tokenizes the prompt.
  void check_room() const;
  /// Whether check_room() could throw.
  bool may_leave_no_room() const;
  virtual void submit(Compute& compute, const std::stop_token& stop) = 0;
  virtual void fail(std::exception_ptr error) = 0;

  /// The dimensions whose heads are needed, once resolved.
  std::vector<std::size_t> dimensions{};
  Resolved resolved{};

 protected:
  Pending() = default;
  Pending(const Pending&) = default;
  Pending& operator=(const Pending&) = default;

  /// Task or prompt, length and side, of EmbedOptions or TokenizeOptions.
  template <class Options>
  void resolve_text(const Options& options, const Checkpoint& checkpoint);
  bool adds_special_tokens_ = true;
};

class PendingEmbed final : public Pending {
 public:
  PendingEmbed(EmbedRequest request, Completion<EmbedResult> done)
      : request_(std::move(request)), done_(std::move(done)) {}

  Needs needs() const noexcept override { return {.tokenizer = request_.ids.empty(), .encoder = true}; }
  void check_sizes(const KnownModel& known) const override;
  void check_texts() const override { check_each(true); }
  void resolve(const KnownModel& known, const Checkpoint& checkpoint) override;
  void submit(Compute& compute, const std::stop_token& stop) override;
  void fail(std::exception_ptr error) override { done_(std::move(error), {}); }

 private:
  void check_each(bool read) const;
  void check_out() const;

  EmbedRequest request_;
  Completion<EmbedResult> done_;
};

class PendingTokenize final : public Pending {
 public:
  PendingTokenize(TokenizeRequest request, Completion<std::vector<Tokens>> done)
      : request_(std::move(request)), done_(std::move(done)) {}

  Needs needs() const noexcept override { return {.tokenizer = true, .encoder = false}; }
  void check_sizes(const KnownModel& known) const override;
  void check_texts() const override;
  void resolve(const KnownModel& known, const Checkpoint& checkpoint) override;
  void submit(Compute& compute, const std::stop_token& stop) override;
  void fail(std::exception_ptr error) override { done_(std::move(error), {}); }

 private:
  TokenizeRequest request_;
  Completion<std::vector<Tokens>> done_;
};

}  // namespace stella::engine
