#include "engine/job.hpp"

#include "stella/error.hpp"

#include <algorithm>

namespace stella::engine {
namespace {

std::vector<std::uint32_t> bytes_of(const std::vector<std::string>& texts) {
  std::vector<std::uint32_t> sizes;
  sizes.reserve(texts.size());
  for (const std::string& text : texts) sizes.push_back(static_cast<std::uint32_t>(text.size()));
  return sizes;
}

/// Rows that nothing has been written to.
FloatMatrix make_matrix(std::size_t rows, std::size_t columns) {
  const auto values = std::make_shared_for_overwrite<float[]>(rows * columns);
  return {rows, columns, columns, {values, values.get()}};
}

}  // namespace

void TimeSheet::note(std::ptrdiff_t& counter, std::ptrdiff_t change) noexcept {
  const Clock::time_point now = Clock::now();
  (computing_ > 0 ? sums_.computing : tokenizing_ > 0 ? sums_.tokenizing : sums_.queued) += now - since_;
  since_ = now;
  counter += change;
}

void TimeSheet::write(EmbedStats& stats) noexcept {
  note(tokenizing_, 0);
  stats.queued = sums_.queued;
  stats.tokenizing = sums_.tokenizing;
  stats.computing = sums_.computing;
}

void Job::tokenize(std::size_t text) {
  at_text(text, [&] { keep(text, encode(text)); });
}

void Job::answer(std::exception_ptr error) noexcept {
  try {
    complete(std::move(error));
  } catch (...) {  // NOLINT(bugprone-empty-catch): its completion was dropped on the way, and so knows
  }
}

void Job::refuse_length(std::size_t tokens) const {
  throw Error(Errc::text_too_long, "the text has " + std::to_string(tokens) + " tokens; at most " +
                                       std::to_string(model_.max_length) +
                                       " are embedded, so shorten it, raise the maximum length or allow truncation");
}

tokenizer::Encoding Job::encode(std::size_t index) const {
  const std::string& own = text(index);
  validate_text(own);
  tokenizer::Encoding encoding = model_.prompt.empty()
                                     ? model_.tokenizer->encode(own, encode_options())
                                     : model_.tokenizer->encode(model_.prompt + own, encode_options());
  if (encoding.truncated() && on_long() == OnLong::error) refuse_length(encoding.full_tokens);
  if (!model_.encoder) return encoding;
  if (encoding.ids.empty()) {
    throw Error(Errc::empty_text, "the text has no tokens; give at least one character that the tokenizer knows");
  }
  check_known(encoding);
  return encoding;
}

/// Before the text shares a pass with those of others, which such an id would fail.
void Job::check_known(const tokenizer::Encoding& encoding) const {
  for (const std::int32_t id : encoding.ids) {
    if (id >= 0 && static_cast<std::size_t>(id) < model_.vocab_size) continue;
    throw Error(Errc::malformed_file,
                "the text has token " + std::to_string(id) + ", but the model knows " +
                    std::to_string(model_.vocab_size) +
                    " tokens (vocab_size in config.json), from 0 on; its tokenizer.json belongs to another model");
  }
}

EmbeddingJob::EmbeddingJob(EmbedRequest request, Resolved model, Completion<EmbedResult> done)
    : Job(std::move(model)), request_(std::move(request)), done_(std::move(done)) {
  ids_ = std::move(request_.ids);
  if (!is_tokenized()) ids_.resize(request_.texts.size());
  result_.texts.resize(size());
}

void EmbeddingJob::check() {
  if (!is_tokenized()) return;
  for (std::size_t i = 0; i < size(); ++i) {
    at_text(i, [&] { check_ids(i); });
  }
}

void EmbeddingJob::check_ids(std::size_t text) {
  TokenIds& ids = ids_[text];
  TokenCount& count = result_.texts[text];
  if (ids.empty()) throw Error(Errc::empty_text, "the list of token ids is empty; give at least one");
  for (const std::int32_t id : ids) {
    if (id >= 0 && static_cast<std::size_t>(id) < model_.vocab_size) continue;
    throw Error(Errc::invalid_argument, "token id " + std::to_string(id) + " is outside the model's vocabulary, 0 to " +
                                            std::to_string(model_.vocab_size - 1));
  }
  count = {.tokens = std::min(ids.size(), model_.max_length), .full_tokens = ids.size()};
  count.truncated = count.tokens < count.full_tokens;
  if (!count.truncated) return;
  if (on_long() == OnLong::error) refuse_length(ids.size());
  const auto kept = static_cast<std::ptrdiff_t>(count.tokens);
  if (encode_options().truncation_side == TruncationSide::left) {
    ids.erase(ids.begin(), ids.end() - kept);
  } else {
    ids.resize(count.tokens);
  }
}

std::vector<std::uint32_t> EmbeddingJob::sizes() const {
  return is_tokenized() ? tokens() : bytes_of(request_.texts);
}

std::vector<std::uint32_t> EmbeddingJob::tokens() const {
  std::vector<std::uint32_t> sizes;
  sizes.reserve(ids_.size());
  for (const TokenIds& ids : ids_) sizes.push_back(static_cast<std::uint32_t>(ids.size()));
  return sizes;
}

tokenizer::EncodeOptions EmbeddingJob::encode_options() const {
  const auto& own = request_.options.truncation_side;
  return {.max_length = model_.max_length, .truncation_side = own ? own : model_.truncation_side, .cancelled = &over_};
}

void EmbeddingJob::keep(std::size_t text, tokenizer::Encoding encoding) {
  result_.texts[text] = {
      .tokens = encoding.ids.size(), .full_tokens = encoding.full_tokens, .truncated = encoding.truncated()};
  ids_[text] = std::move(encoding.ids);
}

std::vector<std::uint32_t> EmbeddingJob::end_tokenizing() {
  for (std::size_t i = 0; i < model_.heads.size(); ++i) {
    const std::size_t dimension = model_.heads[i].dimension;
    if (request_.out.empty()) {
      result_.vectors.push_back(make_matrix(size(), dimension));
    } else {
      const OutputRows& out = request_.out[i];
      result_.vectors.push_back({size(), dimension, out.stride, {out.owner, out.data}});
    }
  }
  if (request_.options.token_states) result_.token_states.resize(size());
  return tokens();
}

float* EmbeddingJob::make_states(std::size_t text, std::size_t hidden) {
  result_.token_states[text] = make_matrix(ids_[text].size(), hidden);
  return result_.token_states[text].values.get();
}

void EmbeddingJob::write_stats() noexcept {
  EmbedStats& stats = result_.stats;
  progress.times.write(stats);
  stats.passes = progress.passes;
  for (const TokenCount& text : result_.texts) stats.tokens += text.tokens;
}

void EmbeddingJob::complete(std::exception_ptr error) {
  // What others may still be writing to stays here.
  done_(error, error ? EmbedResult{} : std::move(result_));
}

TokenizingJob::TokenizingJob(TokenizeRequest request, Resolved model, Completion<std::vector<Tokens>> done)
    : Job(std::move(model)), request_(std::move(request)), result_(request_.texts.size()), done_(std::move(done)) {}

std::vector<std::uint32_t> TokenizingJob::sizes() const {
  return bytes_of(request_.texts);
}

tokenizer::EncodeOptions TokenizingJob::encode_options() const {
  const auto& own = request_.options.truncation_side;
  return {.max_length = model_.max_length,
          .add_special_tokens = request_.options.add_special_tokens,
          .truncation_side = own ? own : model_.truncation_side,
          .offsets = request_.options.offsets,
          .cancelled = &over_};
}

void TokenizingJob::keep(std::size_t text, tokenizer::Encoding encoding) {
  const bool truncated = encoding.truncated();
  result_[text] = {.ids = std::move(encoding.ids),
                   .full_tokens = encoding.full_tokens,
                   .truncated = truncated,
                   .offsets = std::move(encoding.offsets),
                   .special = std::move(encoding.special)};
}

void TokenizingJob::complete(std::exception_ptr error) {
  done_(error, error ? std::vector<Tokens>{} : std::move(result_));
}

}  // namespace stella::engine
