#include "engine/model.hpp"

#include "base/thread_pool.hpp"
#include "engine/join.hpp"
#include "engine/validation.hpp"
#include "stella/error.hpp"

#include <string_view>
#include <utility>

namespace stella::engine {
namespace {

/// Of a prompt, at the most; normalization can lengthen a text.
constexpr std::size_t kMostTokensPerByte = 4;

bool may_leave_no_room(const TextRequest& request) {
  const std::size_t specials = request.add_special_tokens ? request.tokenizer->special_tokens_per_text() : 0;
  return request.max_length <= specials + kMostTokensPerByte * request.prompt.size();
}

/// Throws Error(invalid_argument) where prompt and special tokens take the whole length: every text would be cut to
/// nothing, and all would get the same vector.
void check_room(const TextRequest& request) {
  const auto side = request.truncation_side.value_or(request.tokenizer->truncation_side());
  // Where texts are cut on the left, it is the prompt that goes. The space at its end may be one token with the text's
  // first word.
  const std::string prompt = side == tokenizer::TruncationSide::left
                                 ? std::string()
                                 : request.prompt.substr(0, request.prompt.find_last_not_of(' ') + 1);
  const std::size_t taken =
      request.tokenizer->encode(prompt, {.add_special_tokens = request.add_special_tokens}).ids.size();
  if (request.max_length > taken) return;
  throw Error(
      Errc::invalid_argument,
      "a maximum length of " + std::to_string(request.max_length) + " tokens leaves no room for the text: " +
          (prompt.empty() ? "the special tokens alone take " : "the prompt and the special tokens alone take ") +
          std::to_string(taken) + "; raise the maximum length" +
          (prompt.empty() ? "" : " or choose a shorter prompt or the task 'none'"));
}

}  // namespace

/// A request while the parts of the model that it needs are being gathered. Each branch of the join writes a member
/// of its own.
struct Model::Request {
  TextRequest text;
  std::string task;
  std::optional<std::string> prompt;
  std::optional<std::size_t> max_length;
  std::vector<std::size_t> dimensions;
  bool embeds = false;
  bool limit_batch = true;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<const LoadedEncoder> encoder;
  std::vector<std::shared_ptr<const Head>> heads;  // (dimensions); null: the pooled vector
  Completion<TextResults> done;

  /// Cheap checks, and what the registry already knows.
  void check_sizes(const KnownModel& known) const {
    if (limit_batch && text.indexed_errors) validate_batch_count(text.texts.size());
    check_each(validate_size);
    if (known.dimensions.empty()) return;
    for (const std::size_t dimension : dimensions) validate_dimension(known.name, dimension, known.dimensions);
  }
  void check_texts() const { check_each(validate_text); }

  void check_each(void (*check)(std::string_view)) const {
    for (std::size_t i = 0; i < text.texts.size(); ++i) {
      if (text.indexed_errors) {
        at_index(i, [&] { check(text.texts[i]); });
      } else {
        check(text.texts[i]);
      }
    }
  }
};

std::shared_ptr<Model> Model::create(const Machine& machine, ModelSetup setup) {
  return std::shared_ptr<Model>(new Model(machine, std::move(setup)));
}

void Model::tokenize(TokenizeJob job, const std::stop_token& stop, Completion<TextResults> done) {
  auto request = std::make_shared<Request>();
  request->text.texts = std::move(job.texts);
  request->text.on_long = job.on_long;
  request->text.add_special_tokens = job.add_special_tokens;
  request->task = std::move(job.task);
  request->prompt = std::move(job.prompt);
  request->max_length = job.max_length;
  request->done = std::move(done);
  start(std::move(request), stop);
}

void Model::embed(EmbedJob job, const std::stop_token& stop, Completion<std::vector<Embedding>> done) {
  auto request = std::make_shared<Request>();
  request->text.texts = std::move(job.texts);
  request->text.on_long = job.options.on_long;
  request->text.normalize = job.options.normalize;
  request->text.indexed_errors = job.indexed_errors;
  request->task = std::move(job.options.task);
  request->prompt = std::move(job.options.prompt);
  request->max_length = job.options.max_length;
  request->dimensions = std::move(job.options.dimensions);
  request->embeds = true;
  request->limit_batch = job.limit_batch;
  request->done = [done = std::move(done)](std::exception_ptr error, TextResults results) mutable {
    done(std::move(error), std::move(results.embeddings));
  };
  start(std::move(request), stop);
}

void Model::start(std::shared_ptr<Request> request, const std::stop_token& stop) {
  try {
    request->check_sizes(parts_->known());
  } catch (...) {
    return request->done(std::current_exception(), {});
  }
  if (request->embeds ? parts_->peek_encoder() != nullptr : parts_->peek_tokenizer() != nullptr)
    return gather(request, stop);
  // Nobody waits for gigabytes to be fetched only to hear that a text is not UTF-8.
  machine_.pool->post([self = shared_from_this(), request = std::move(request), stop] {
    try {
      request->check_texts();
    } catch (...) {
      return request->done(std::current_exception(), {});
    }
    self->gather(request, stop);
  });
}

void Model::gather(const std::shared_ptr<Request>& request, const std::stop_token& stop) {
  auto join = Join::start(stop, [self = shared_from_this(), request, stop](std::exception_ptr error) {
    if (error) return request->done(std::move(error), {});
    self->check_room_and_submit(request, stop);
  });
  // The join outlives its branches, so that they may start further ones.
  parts_->checkpoint(join->token(), join->branch<std::shared_ptr<const Checkpoint>>(
                                        [self = shared_from_this(), request, &branches = *join](auto checkpoint) {
                                          self->resolve(*request, std::move(checkpoint));
                                          if (!request->embeds || request->checkpoint->heads.empty()) return;
                                          for (std::size_t i = 0; i < request->dimensions.size(); ++i) {
                                            self->parts_->head(
                                                request->dimensions[i], branches.token(),
                                                branches.branch<std::shared_ptr<const Head>>(
                                                    [request, i](auto head) { request->heads[i] = std::move(head); }));
                                          }
                                        }));
  parts_->tokenizer(join->token(), join->branch<std::shared_ptr<const tokenizer::Tokenizer>>(
                                       [request](auto value) { request->text.tokenizer = std::move(value); }));
  if (request->embeds) {
    parts_->encoder(join->token(), join->branch<std::shared_ptr<const LoadedEncoder>>(
                                       [request](auto value) { request->encoder = std::move(value); }));
  }
  join->close();
}

/// Fills in what the checkpoint decides: prompt, length, dimensions.
void Model::resolve(Request& request, std::shared_ptr<const Checkpoint> checkpoint) const {
  request.text.prompt = request.prompt ? *request.prompt : checkpoint->prompts.text_for(request.task);
  request.text.max_length = request.max_length.value_or(checkpoint->default_max_length);
  // A model that ends with a Normalize module has no other vectors.
  request.text.normalize = request.text.normalize || checkpoint->spec.normalize_module;
  if (const auto left = checkpoint->spec.truncate_left) {
    request.text.truncation_side = *left ? tokenizer::TruncationSide::left : tokenizer::TruncationSide::right;
  }
  if (request.text.max_length == 0 || request.text.max_length > checkpoint->max_length_limit) {
    throw Error(Errc::invalid_argument, "a maximum length of " + std::to_string(request.text.max_length) +
                                            " tokens is outside this model's range, 1 to " +
                                            std::to_string(checkpoint->max_length_limit));
  }
  if (request.dimensions.empty()) request.dimensions.push_back(checkpoint->default_dimension);
  for (const std::size_t dimension : request.dimensions) {
    validate_dimension(parts_->known().name, dimension, checkpoint->dimensions);
  }
  request.heads.resize(request.dimensions.size());
  request.checkpoint = std::move(checkpoint);
}

void Model::check_room_and_submit(const std::shared_ptr<Request>& request, const std::stop_token& stop) {
  if (!may_leave_no_room(request->text)) return submit(*request, stop);
  machine_.pool->post([self = shared_from_this(), request, stop] {
    try {
      check_room(request->text);
    } catch (...) {
      return request->done(std::current_exception(), {});
    }
    self->submit(*request, stop);
  });
}

void Model::submit(Request& request, const std::stop_token& stop) const {
  if (request.embeds) {
    request.text.encoder = request.encoder->encoder;
    request.text.vocab_size = request.checkpoint->spec.encoder.vocab_size;
    for (std::size_t i = 0; i < request.dimensions.size(); ++i) {
      request.text.heads.push_back({request.dimensions[i], request.heads[i] ? request.heads[i]->head : nullptr});
    }
  }
  machine_.compute->submit(std::move(request.text), stop, std::move(request.done));
}

}  // namespace stella::engine
