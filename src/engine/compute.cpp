#include "engine/compute.hpp"

#include "base/thread.hpp"
#include "base/typed_error.hpp"
#include "engine/head_rows.hpp"
#include "engine/validation.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <optional>

namespace stella::engine {
namespace {

// One turn of tokenizing: enough for a team to share, little enough to keep the next batch waiting only briefly.
constexpr std::size_t kTextsPerTurn = 512;
constexpr std::size_t kBytesPerTurn = 1 << 20;

std::exception_ptr shut_down_error() {
  return std::make_exception_ptr(Error(Errc::shut_down, "the runtime is shutting down"));
}

}  // namespace

/// A request on its way. All but `completed` and `done` belongs to the compute thread.
struct Compute::Active {
  struct Cancel {
    Active* active;
    void operator()() const { active->complete(std::make_exception_ptr(Error(Errc::cancelled, "cancelled"))); }
  };

  TextRequest request;
  Completion<TextResults> done;
  std::atomic<bool> completed{false};  // whoever sets it calls `done`
  std::size_t tokenized = 0;           // texts [0, tokenized) have encodings
  std::size_t batched = 0;             // texts [0, batched) were put into a batch
  std::size_t finished = 0;            // texts whose vectors are there
  TextResults results;
  std::optional<std::stop_callback<Cancel>> on_stop;  // last, so that it goes first and waits for a running callback

  void complete(std::exception_ptr error, TextResults value = {}) noexcept {
    if (completed.exchange(true)) return;
    try {
      done(std::move(error), std::move(value));
    } catch (...) {  // NOLINT(bugprone-empty-catch): its completion was dropped on the way, and so knows
    }
  }
  std::size_t size() const noexcept { return request.texts.size(); }
  bool waits_for_tokens() const noexcept { return !completed && tokenized < size(); }
  bool is_ready() const noexcept { return !completed && tokenized == size() && batched < size(); }

  tokenizer::Encoding encode(std::size_t index) const;
  void check_ids(const tokenizer::Encoding& encoding) const;
};

/// One text of a request.
struct Compute::Slot {
  ActivePtr active;
  std::size_t index = 0;
  const tokenizer::Encoding& encoding() const { return active->results.encodings[index]; }
  std::size_t tokens() const { return encoding().ids.size(); }
};

tokenizer::Encoding Compute::Active::encode(std::size_t index) const {
  const std::string& text = request.texts[index];
  validate_text(text);
  const tokenizer::EncodeOptions options{.max_length = request.max_length,
                                         .add_special_tokens = request.add_special_tokens,
                                         .truncation_side = request.truncation_side,
                                         .cancelled = &completed};
  tokenizer::Encoding encoding = request.prompt.empty() ? request.tokenizer->encode(text, options)
                                                        : request.tokenizer->encode(request.prompt + text, options);
  if (encoding.truncated() && request.on_long == OnLong::error) {
    throw Error(Errc::text_too_long, "the text has " + std::to_string(encoding.full_tokens) + " tokens; at most " +
                                         std::to_string(request.max_length) +
                                         " are embedded, so shorten it, raise the maximum length or allow truncation");
  }
  if (encoding.ids.empty() && request.encoder) {
    throw Error(Errc::empty_text, "the text has no tokens; give at least one character that the tokenizer knows");
  }
  if (request.encoder) check_ids(encoding);
  return encoding;
}

/// Before the text shares a pass with those of others, which such an id would fail.
void Compute::Active::check_ids(const tokenizer::Encoding& encoding) const {
  for (const std::int32_t id : encoding.ids) {
    if (id >= 0 && static_cast<std::size_t>(id) < request.vocab_size) continue;
    throw Error(Errc::malformed_file,
                "the text has token " + std::to_string(id) + ", but the model knows " +
                    std::to_string(request.vocab_size) +
                    " tokens (vocab_size in config.json), from 0 on; its tokenizer.json belongs to another model");
  }
}

Compute::Compute(std::size_t threads) {
  // The coordinator first: without it the helpers are of no use. It touches the team only once there is work.
  thread_ = start_thread("stella-compute", [this] { work(); });
  try {
    team_ = std::make_unique<ParallelTeam>(threads);
  } catch (...) {
    stop();
    throw;
  }
}

Compute::~Compute() {
  stop();
}

void Compute::submit(TextRequest request, const std::stop_token& stop, Completion<TextResults> done) {
  std::list<ActivePtr> node;
  node.push_back(std::make_shared<Active>());
  const ActivePtr active = node.front();
  active->request = std::move(request);
  active->done = std::move(done);
  active->results.encodings.resize(active->size());
  if (active->request.encoder) active->results.embeddings.resize(active->size());
  if (active->size() == 0) return active->complete(nullptr);
  active->on_stop.emplace(stop, Active::Cancel{active.get()});
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) incoming_.splice(incoming_.end(), node);
  }
  if (node.empty()) return wake_.notify_one();
  active->complete(shut_down_error());
}

void Compute::post(UniqueFunction<void(ParallelTeam&)> job) {
  decltype(jobs_) node;
  node.push_back(std::move(job));
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) jobs_.splice(jobs_.end(), node);
  }
  wake_.notify_one();
}

void Compute::shut_down() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

void Compute::stop() {
  shut_down();
  if (thread_.joinable()) thread_.join();
}

bool Compute::wait_for_work() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || !incoming_.empty() || !jobs_.empty() || !active_.empty(); });
  active_.splice(active_.end(), incoming_);
  return !stopping_;
}

void Compute::work() {
  while (wait_for_work()) {
    try {
      take_turn();
    } catch (...) {
      // Not even the lists of a turn could be made, and what of it was done is not known.
      const std::exception_ptr error = typed_error(std::current_exception());
      for (const ActivePtr& active : active_) active->complete(error);
      active_.clear();
    }
  }
  for (const ActivePtr& active : active_) active->complete(shut_down_error());
  active_.clear();
  decltype(jobs_) dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(jobs_);
}

void Compute::take_turn() {
  run_jobs();
  tokenize_some();
  if (const std::vector<Slot> batch = take_batch(); !batch.empty()) run_batch(batch);
  std::erase_if(active_, [](const ActivePtr& active) { return active->completed.load(); });
}

void Compute::run_jobs() {
  decltype(jobs_) jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs.swap(jobs_);
  }
  for (auto& job : jobs) job(*team_);
}

void Compute::tokenize_some() {
  std::vector<Slot> slice;
  std::size_t bytes = 0;
  std::vector<ActivePtr> turn;
  std::copy_if(active_.begin(), active_.end(), std::back_inserter(turn),
               [](const ActivePtr& active) { return active->waits_for_tokens(); });
  while (!turn.empty() && slice.size() < kTextsPerTurn && bytes < kBytesPerTurn) {
    for (const ActivePtr& active : turn) {
      bytes += active->request.texts[active->tokenized].size();
      slice.push_back({active, active->tokenized++});
    }
    std::erase_if(turn, [](const ActivePtr& active) { return active->tokenized == active->size(); });
  }
  if (!slice.empty()) tokenize_slice(slice);
}

void Compute::tokenize_slice(const std::vector<Slot>& slice) {
  std::vector<std::exception_ptr> errors(slice.size());
  team_->run(slice.size(), [&](std::size_t task, std::size_t) {
    const auto& [active, index] = slice[task];
    if (active->completed || stopping_) return;  // nobody waits for it any more
    try {
      active->results.encodings[index] = active->encode(index);
    } catch (...) {
      errors[task] = typed_error(std::current_exception());
    }
  });
  if (stopping_) return;
  // Slots of one request are in the order of its texts, so the first error reported is that of the first bad text.
  for (std::size_t i = 0; i < slice.size(); ++i) {
    const auto& [active, index] = slice[i];
    if (errors[i]) {
      try {
        if (!active->request.indexed_errors) std::rethrow_exception(errors[i]);
        at_index(index, [&] { std::rethrow_exception(errors[i]); });
      } catch (...) {
        active->complete(std::current_exception());
      }
    } else if (index + 1 == active->size() && !active->request.encoder && !active->completed) {
      active->complete(nullptr, std::move(active->results));
    }
  }
}

std::vector<Compute::Slot> Compute::take_batch() {
  std::vector<ActivePtr> turn;  // ready requests of the model whose turn it is
  for (const ActivePtr& active : active_) {
    if (!active->is_ready() || !active->request.encoder) continue;
    if (turn.empty() || active->request.encoder == turn.front()->request.encoder) turn.push_back(active);
  }
  std::vector<ActivePtr> served = turn;
  std::vector<Slot> batch;
  std::size_t tokens = 0;
  while (!turn.empty()) {
    std::erase_if(turn, [&](const ActivePtr& active) {
      const Slot slot{active, active->batched};
      if (!batch.empty() && tokens + slot.tokens() > kTokensPerPass) return true;
      tokens += slot.tokens();
      batch.push_back(slot);
      return ++active->batched == active->size();
    });
  }
  // Those that had their turn go to the end of the queue.
  std::erase_if(served, [&](const ActivePtr& active) {
    return std::none_of(batch.begin(), batch.end(), [&](const Slot& slot) { return slot.active == active; });
  });
  for (const ActivePtr& active : served) {
    active_.splice(active_.end(), active_, std::find(active_.begin(), active_.end(), active));
  }
  // Long sequences first: the team's members then end their shares of attention close together.
  std::stable_sort(batch.begin(), batch.end(), [](const Slot& a, const Slot& b) { return a.tokens() > b.tokens(); });
  return batch;
}

void Compute::run_batch(const std::vector<Slot>& batch) {
  try {
    if (!compute(batch)) return;
  } catch (...) {
    return run_alone(batch);
  }
  finish(batch);
}

/// The same, request by request: what one of them cannot have, or does to a pass, is no matter of the others.
void Compute::run_alone(const std::vector<Slot>& batch) {
  std::vector<Slot> left = batch;
  while (!left.empty()) {
    const ActivePtr active = left.front().active;
    std::vector<Slot> own;
    std::copy_if(left.begin(), left.end(), std::back_inserter(own),
                 [&](const Slot& slot) { return slot.active == active; });
    std::erase_if(left, [&](const Slot& slot) { return slot.active == active; });
    try {
      if (compute(own)) finish(own);
    } catch (...) {
      active->complete(typed_error(std::current_exception()));
    }
  }
}

/// False where it was left because nobody waits for it any more.
bool Compute::compute(std::span<const Slot> batch) {
  scratch_.given_up = [&] {
    return stopping_ ||
           std::all_of(batch.begin(), batch.end(), [](const Slot& slot) { return slot.active->completed.load(); });
  };
  std::vector<std::int32_t> ids;         // (tokens)
  std::vector<std::int32_t> offsets{0};  // (sequences + 1)
  for (const Slot& slot : batch) {
    ids.insert(ids.end(), slot.encoding().ids.begin(), slot.encoding().ids.end());
    offsets.push_back(static_cast<std::int32_t>(ids.size()));
  }
  const models::Encoder& encoder = *batch.front().active->request.encoder;
  const std::size_t hidden = encoder.hidden();
  std::vector<float> pooled(batch.size() * hidden);  // (sequences, hidden)
  encoder.forward({ids, offsets}, pooled.data(), *team_, scratch_);
  if (scratch_.given_up()) return false;

  std::vector<HeadRows> groups;
  for (std::size_t row = 0; row < batch.size(); ++row) {
    const TextRequest& request = batch[row].active->request;
    const tokenizer::Encoding& encoding = batch[row].encoding();
    Embedding& embedding = batch[row].active->results.embeddings[batch[row].index];
    embedding.tokens = encoding.ids.size();
    embedding.full_tokens = encoding.full_tokens;
    embedding.truncated = encoding.truncated();
    embedding.vectors.resize(request.heads.size());
    for (std::size_t h = 0; h < request.heads.size(); ++h) {
      const models::DenseHead* head = request.heads[h].head.get();
      auto group = std::find_if(groups.begin(), groups.end(), [&](const HeadRows& g) { return g.head == head; });
      if (group == groups.end()) group = groups.insert(groups.end(), HeadRows{head, {}, {}, {}});
      embedding.vectors[h].first = request.heads[h].dimension;
      group->rows.push_back(row);
      group->out.push_back(&embedding.vectors[h].second);
      group->normalize.push_back(request.normalize);
    }
  }
  for (const HeadRows& group : groups) apply_head(group, pooled, hidden, *team_, scratch_);
  return true;
}

void Compute::finish(std::span<const Slot> batch) {
  for (const Slot& slot : batch) {
    Active& active = *slot.active;
    active.results.encodings[slot.index] = {};
    if (++active.finished == active.size() && !active.completed) {
      active.results.encodings.clear();
      active.complete(nullptr, std::move(active.results));
    }
  }
}

}  // namespace stella::engine
