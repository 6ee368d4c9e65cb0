#include "engine/pending.hpp"

#include "engine/validation.hpp"
#include "stella/error.hpp"

#include <string>

namespace stella::engine {
namespace {

/// Of a prompt, at most; normalization can lengthen a text.
constexpr std::size_t kMaxTokensPerByte = 4;

/// Checks one text, with its index in the message where that is wanted.
void check_text(std::string_view text, std::size_t index, bool read, bool indexed) {
  const auto check = [&] { read ? validate_text(text) : validate_size(text); };
  if (indexed) {
    at_index(index, check);
  } else {
    check();
  }
}

}  // namespace

template <class Options>
void Pending::resolve_text(const Options& options, const Checkpoint& checkpoint) {
  resolved.max_length = options.max_length.value_or(checkpoint.default_max_length);
  if (resolved.max_length == 0 || resolved.max_length > checkpoint.max_length_limit) {
    throw Error(Errc::invalid_argument, "a maximum length of " + std::to_string(resolved.max_length) +
                                            " tokens is outside this model's range, 1 to " +
                                            std::to_string(checkpoint.max_length_limit));
  }
  resolved.truncation_side = options.truncation_side;
  if (const auto left = checkpoint.spec.truncate_left; left && !resolved.truncation_side) {
    resolved.truncation_side = *left ? TruncationSide::left : TruncationSide::right;
  }
  if (needs().tokenizer) {
    resolved.prompt = options.prompt ? *options.prompt : checkpoint.prompts.text_for(options.task);
  }
}

bool Pending::may_leave_no_room() const {
  if (!resolved.tokenizer) return false;
  const std::size_t specials = adds_special_tokens_ ? resolved.tokenizer->special_tokens_per_text() : 0;
  return resolved.max_length <= specials + kMaxTokensPerByte * resolved.prompt.size();
}

void Pending::check_room() const {
  const auto side = resolved.truncation_side.value_or(resolved.tokenizer->truncation_side());
  // Where texts are cut on the left, it is the prompt that goes. The space at its end may be one token with the text's
  // first word.
  const std::string prompt = side == TruncationSide::left
                                 ? std::string()
                                 : resolved.prompt.substr(0, resolved.prompt.find_last_not_of(' ') + 1);
  const std::size_t taken = resolved.tokenizer->encode(prompt, {.add_special_tokens = adds_special_tokens_}).ids.size();
  if (resolved.max_length > taken) return;
  throw Error(
      Errc::invalid_argument,
      "a maximum length of " + std::to_string(resolved.max_length) + " tokens leaves no room for the text: " +
          (prompt.empty() ? "the special tokens alone take " : "the prompt and the special tokens alone take ") +
          std::to_string(taken) + "; raise the maximum length" +
          (prompt.empty() ? "" : " or choose a shorter prompt or the task 'none'"));
}

void PendingEmbed::check_sizes(const KnownModel& known) const {
  if (!request_.texts.empty() && !request_.ids.empty()) {
    throw Error(Errc::invalid_argument, "a request has texts or token ids, not both; make two of it");
  }
  if (!request_.any_count) validate_batch_count(request_.size());
  check_each(false);
  if (known.dimensions.empty()) return;
  for (const std::size_t dimension : request_.options.dimensions) {
    validate_dimension(known.name, dimension, known.dimensions);
  }
}

void PendingEmbed::check_each(bool read) const {
  for (std::size_t i = 0; i < request_.texts.size(); ++i) {
    check_text(request_.texts[i], i, read, request_.indexed_errors);
  }
}

void PendingEmbed::resolve(const KnownModel& known, const Checkpoint& checkpoint) {
  resolve_text(request_.options, checkpoint);
  // A model that ends with a Normalize module has no other vectors.
  resolved.normalize = request_.options.normalize || checkpoint.spec.normalize_module;
  resolved.vocab_size = checkpoint.spec.encoder.vocab_size;
  if (!request_.options.pooled) return;
  dimensions = request_.options.dimensions;
  if (dimensions.empty()) dimensions.push_back(checkpoint.default_dimension);
  for (const std::size_t dimension : dimensions) validate_dimension(known.name, dimension, checkpoint.dimensions);
  check_out();
  for (const std::size_t dimension : dimensions) resolved.heads.push_back({dimension, nullptr});
}

/// The caller's memory, where there is any, has room for the rows.
void PendingEmbed::check_out() const {
  if (request_.out.empty()) return;
  if (request_.out.size() != dimensions.size()) {
    throw Error(Errc::invalid_argument, "the request gives memory for the vectors of " +
                                            std::to_string(request_.out.size()) + " dimensions and asks for " +
                                            std::to_string(dimensions.size()));
  }
  for (std::size_t i = 0; i < dimensions.size(); ++i) {
    const OutputRows& rows = request_.out[i];
    if (rows.data != nullptr && rows.rows >= request_.size() && rows.stride >= dimensions[i]) continue;
    throw Error(Errc::invalid_argument,
                "the memory given for the vectors of dimension " + std::to_string(dimensions[i]) + " has " +
                    std::to_string(rows.rows) + " rows with a stride of " + std::to_string(rows.stride) +
                    " floats; it needs " + std::to_string(request_.size()) + " rows and at least that stride");
  }
}

void PendingEmbed::submit(Compute& compute, const std::stop_token& stop) {
  compute.embed(std::move(request_), std::move(resolved), stop, std::move(done_));
}

void PendingTokenize::check_sizes(const KnownModel&) const {
  for (std::size_t i = 0; i < request_.texts.size(); ++i) check_text(request_.texts[i], i, false, true);
}

void PendingTokenize::check_texts() const {
  for (std::size_t i = 0; i < request_.texts.size(); ++i) check_text(request_.texts[i], i, true, true);
}

void PendingTokenize::resolve(const KnownModel&, const Checkpoint& checkpoint) {
  adds_special_tokens_ = request_.options.add_special_tokens;
  resolve_text(request_.options, checkpoint);
}

void PendingTokenize::submit(Compute& compute, const std::stop_token& stop) {
  compute.tokenize(std::move(request_), std::move(resolved), stop, std::move(done_));
}

}  // namespace stella::engine
