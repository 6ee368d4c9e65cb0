// stella.h: requests, embedding and tokens.
#include "api/c_boundary.hpp"
#include "api/c_handles.hpp"
#include "stella/sync.hpp"

#include <algorithm>
#include <exception>
#include <future>
#include <memory>
#include <utility>

namespace c = stella::c_api;
using c::cleared;
using c::guarded;
using c::required;

namespace {

/// The caller's memory is lent to the engine, which may still write to it after a request was cancelled: what ends a
/// request waits until it is back.
class Loan {
 public:
  explicit Loan(stella::EmbedRequest& request) {
    if (request.out.empty()) return;
    auto returned = std::make_shared<std::promise<void>>();
    returned_ = returned->get_future().share();
    const std::shared_ptr<void> owner(nullptr, [returned](std::nullptr_t) { returned->set_value(); });
    for (stella::OutputRows& rows : request.out) rows.owner = owner;
  }

  void wait() const {
    if (returned_.valid()) returned_.wait();
  }
  /// A result that names the memory and no longer owns it.
  void release(stella::EmbedResult& result) const {
    if (!returned_.valid()) return;
    for (stella::FloatMatrix& matrix : result.vectors) {
      float* const values = matrix.values.get();
      matrix.values = std::shared_ptr<float>(std::shared_ptr<void>(), values);
    }
  }

 private:
  std::shared_future<void> returned_{};  // not valid: nothing was lent
};

void set_text(stella_request& request, int32_t field, const char* value) {
  stella::EmbedOptions& options = request.embed.options;
  if (field == STELLA_REQUEST_PROMPT && value == nullptr) {
    options.prompt.reset();
    return;
  }
  const std::string text = &required(value, "value");
  switch (field) {
    case STELLA_REQUEST_TASK:
      options.task = text;
      return;
    case STELLA_REQUEST_PROMPT:
      options.prompt = text;
      return;
    case STELLA_REQUEST_CLIENT:
      options.client = text;
      return;
    default:
      c::refuse("field is " + std::to_string(field) + ", which is none that takes a text");
  }
}

void set_number(stella_request& request, int32_t field, std::uint64_t value) {
  stella::EmbedOptions& options = request.embed.options;
  switch (field) {
    case STELLA_REQUEST_NORMALIZE:
      options.normalize = c::to_bool(value, "STELLA_REQUEST_NORMALIZE");
      return;
    case STELLA_REQUEST_MAX_LENGTH:
      options.max_length = value == 0 ? std::nullopt : std::optional<std::size_t>(value);
      return;
    case STELLA_REQUEST_REFUSE_LONG:
      options.on_long =
          c::to_bool(value, "STELLA_REQUEST_REFUSE_LONG") ? stella::OnLong::error : stella::OnLong::truncate;
      return;
    case STELLA_REQUEST_CUT_LEFT:
      options.truncation_side.reset();
      if (c::to_bool(value, "STELLA_REQUEST_CUT_LEFT")) options.truncation_side = stella::TruncationSide::left;
      return;
    case STELLA_REQUEST_PRIORITY:
      if (value > 2) c::refuse("STELLA_REQUEST_PRIORITY is " + std::to_string(value) + "; it takes 0, 1 or 2");
      options.priority = static_cast<stella::Priority>(value);
      return;
    case STELLA_REQUEST_TIMEOUT_MS: {
      constexpr std::uint64_t kMost = std::uint64_t{1} << 40U;  // what a clock can add
      if (value > kMost) c::refuse("STELLA_REQUEST_TIMEOUT_MS is more than " + std::to_string(kMost));
      request.timeout.reset();
      if (value != 0) request.timeout = std::chrono::milliseconds(value);
      return;
    }
    case STELLA_REQUEST_SPECIAL_TOKENS:
      request.special_tokens = c::to_bool(value, "STELLA_REQUEST_SPECIAL_TOKENS");
      return;
    default:
      c::refuse("field is " + std::to_string(field) + ", which is none that takes a number");
  }
}
static_assert(static_cast<int>(stella::Priority::automatic) == 0 &&
              static_cast<int>(stella::Priority::interactive) == 1 && static_cast<int>(stella::Priority::bulk) == 2);

stella::EmbedRequest to_embed(const stella_request& request) {
  stella::EmbedRequest made = request.embed;
  const auto given = [](const stella::OutputRows& rows) { return rows.data != nullptr; };
  if (!std::all_of(made.out.begin(), made.out.end(), given)) {
    c::refuse("some dimensions have memory for their vectors and others do not");
  }
  if (request.timeout) made.options.deadline = std::chrono::steady_clock::now() + *request.timeout;
  return made;
}

}  // namespace

stella_status stella_request_new(stella_request** request, stella_error** error) {
  return guarded(error, [&] {
    stella_request*& result = cleared(request, "request");
    result = new stella_request;
    result->embed.any_count = true;
  });
}

stella_status stella_request_add_text(stella_request* request, const char* text, size_t length, stella_error** error) {
  return guarded(error, [&] {
    stella::EmbedRequest& to = required(request, "request").embed;
    if (!to.ids.empty()) c::refuse("the request has token ids; a request has texts or ids");
    c::check_count(length, 1, "length");
    if (length == 0) {
      to.texts.emplace_back();
    } else {
      to.texts.emplace_back(&required(text, "text"), length);
    }
  });
}

stella_status stella_request_add_ids(stella_request* request, const int32_t* ids, size_t count, stella_error** error) {
  return guarded(error, [&] {
    stella::EmbedRequest& to = required(request, "request").embed;
    if (!to.texts.empty()) c::refuse("the request has texts; a request has texts or ids");
    c::check_count(count, sizeof *ids, "count");
    if (count == 0) {
      to.ids.emplace_back();
    } else {
      const int32_t* const first = &required(ids, "ids");
      to.ids.emplace_back(first, first + count);
    }
  });
}

stella_status stella_request_set_text(stella_request* request, int32_t field, const char* value, stella_error** error) {
  return guarded(error, [&] { set_text(required(request, "request"), field, value); });
}

stella_status stella_request_set_number(stella_request* request, int32_t field, uint64_t value, stella_error** error) {
  return guarded(error, [&] { set_number(required(request, "request"), field, value); });
}

stella_status stella_request_set_dimensions(stella_request* request, const size_t* dimensions, size_t count,
                                            stella_error** error) {
  return guarded(error, [&] {
    stella::EmbedRequest& to = required(request, "request").embed;
    c::check_count(count, sizeof *dimensions, "count");
    std::vector<std::size_t> made;
    if (count != 0) {
      const size_t* const first = &required(dimensions, "dimensions");
      made.assign(first, first + count);
    }
    to.options.dimensions = std::move(made);
    to.out.clear();
  });
}

stella_status stella_request_set_output(stella_request* request, size_t index, float* memory, size_t rows,
                                        size_t stride, stella_error** error) {
  return guarded(error, [&] {
    stella::EmbedRequest& to = required(request, "request").embed;
    const std::size_t count = std::max<std::size_t>(to.options.dimensions.size(), 1);
    c::check_index(index, count, "index");
    if (memory == nullptr) return to.out.clear();
    c::check_count(rows, sizeof *memory, "rows");
    if (rows != 0) c::check_count(stride, sizeof *memory * rows, "stride");
    to.out.resize(count);
    to.out[index] = {.data = memory, .rows = rows, .stride = stride};
  });
}

stella_status stella_request_clear(stella_request* request, stella_error** error) {
  return guarded(error, [&] {
    stella::EmbedRequest& of = required(request, "request").embed;
    of.texts.clear();
    of.ids.clear();
  });
}

void stella_request_free(stella_request* request) {
  delete request;
}

stella_status stella_embed(const stella_model* model, const stella_request* request, const stella_cancel* cancel,
                           stella_result** result, stella_error** error) {
  return guarded(error, [&] {
    stella_result*& to = cleared(result, "result");
    const stella::sync::Model of(required(model, "model").model);
    stella::EmbedRequest asked = to_embed(required(request, "request"));
    const Loan loan(asked);
    auto made = std::make_unique<stella_result>();
    try {
      made->value = of.embed(std::move(asked), c::token_of(cancel));
    } catch (...) {
      loan.wait();
      throw;
    }
    loan.release(made->value);
    loan.wait();
    to = made.release();
  });
}

stella_status stella_embed_async(const stella_model* model, const stella_request* request, const stella_cancel* cancel,
                                 stella_embed_callback callback, void* user, stella_error** error) {
  return guarded(error, [&] {
    static_cast<void>(&required(callback, "callback"));
    const stella::Model of = required(model, "model").model;
    stella::EmbedRequest asked = to_embed(required(request, "request"));
    // A thread for callbacks, where this runs, may wait for the loan.
    auto done = [loan = Loan(asked), made = std::make_unique<stella_result>(), callback, user](
                    std::exception_ptr failure, stella::EmbedResult value) mutable {
      loan.release(value);
      loan.wait();
      if (failure) return callback(user, nullptr, c::new_error(failure));
      made->value = std::move(value);
      callback(user, made.release(), nullptr);
    };
    of.embed(std::move(asked), c::token_of(cancel), std::move(done));
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): `done` was moved, and `made` with it
  });
}

size_t stella_result_size(const stella_result* result) {
  return result == nullptr ? 0 : result->value.texts.size();
}

stella_status stella_result_vectors(const stella_result* result, size_t index, const float** values, size_t* rows,
                                    size_t* columns, size_t* stride, stella_error** error) {
  return guarded(error, [&] {
    const float*& first = cleared(values, "values");
    size_t& height = cleared(rows, "rows");
    size_t& width = cleared(columns, "columns");
    const auto& of = required(result, "result").value.vectors;
    c::check_index(index, of.size(), "index");
    height = of[index].rows;
    width = of[index].columns;
    if (stride != nullptr) *stride = of[index].stride;
    first = of[index].values.get();
  });
}

stella_status stella_result_counts(const stella_result* result, size_t text, size_t* tokens, size_t* full_tokens,
                                   int32_t* truncated, stella_error** error) {
  return guarded(error, [&] {
    const auto& of = required(result, "result").value.texts;
    c::check_index(text, of.size(), "text");
    if (tokens != nullptr) *tokens = of[text].tokens;
    if (full_tokens != nullptr) *full_tokens = of[text].full_tokens;
    if (truncated != nullptr) *truncated = of[text].truncated ? 1 : 0;
  });
}

void stella_result_free(stella_result* result) {
  delete result;
}

stella_status stella_tokenize(const stella_model* model, const stella_request* request, const stella_cancel* cancel,
                              stella_tokens** tokens, stella_error** error) {
  return guarded(error, [&] {
    stella_tokens*& to = cleared(tokens, "tokens");
    const stella::sync::Model of(required(model, "model").model);
    const stella_request& from = required(request, "request");
    if (!from.embed.ids.empty()) c::refuse("the request has token ids, which need no tokenizing");
    const stella::EmbedOptions& options = from.embed.options;
    stella::TokenizeRequest asked{.texts = from.embed.texts, .options = {}};
    asked.options.task = options.task;
    asked.options.prompt = options.prompt;
    asked.options.max_length = options.max_length;
    asked.options.on_long = options.on_long;
    asked.options.truncation_side = options.truncation_side;
    asked.options.add_special_tokens = from.special_tokens;
    auto made = std::make_unique<stella_tokens>();
    made->value = of.tokenize(std::move(asked), c::token_of(cancel));
    to = made.release();
  });
}

stella_status stella_tokens_ids(const stella_tokens* tokens, size_t text, const int32_t** ids, size_t* count,
                                size_t* full_count, stella_error** error) {
  return guarded(error, [&] {
    const int32_t*& first = cleared(ids, "ids");
    size_t& size = cleared(count, "count");
    const auto& of = required(tokens, "tokens").value;
    c::check_index(text, of.size(), "text");
    first = of[text].ids.data();
    size = of[text].ids.size();
    if (full_count != nullptr) *full_count = of[text].full_tokens;
  });
}

void stella_tokens_free(stella_tokens* tokens) {
  delete tokens;
}
