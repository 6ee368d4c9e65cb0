#include "engine/compute.hpp"

#include "base/thread.hpp"
#include "base/typed_error.hpp"
#include "engine/deadline.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

namespace stella::engine {
namespace {

// One slice of tokenizing: enough for a team to share, little enough for a query not to wait long.
constexpr std::size_t kTextsPerSlice = 512;
constexpr std::size_t kBytesPerSlice = std::size_t{128} << 10U;
/// Bulk slices between two passes.
constexpr int kSlicesPerTurn = 8;
// What is short enough to be interactive of itself.
constexpr std::size_t kInteractiveBytes = 4096;
constexpr std::size_t kInteractiveIds = 1024;

std::exception_ptr shut_down_error() {
  return make_error(Errc::shut_down, "the runtime is shutting down");
}

std::exception_ptr overloaded_error() {
  return make_error(Errc::overloaded,
                    "too much waits to be computed (RuntimeOptions::max_queued_texts, max_queued_tokens); try again "
                    "later");
}

Urgency urgency_of(Priority priority, const std::vector<std::uint32_t>& sizes, std::size_t limit) {
  if (priority != Priority::automatic) return priority == Priority::bulk ? Urgency::bulk : Urgency::interactive;
  std::size_t sum = 0;
  for (const std::uint32_t size : sizes) sum += size;
  return sum <= limit ? Urgency::interactive : Urgency::bulk;
}

std::size_t tokens_of(std::span<const PassText> batch) {
  std::size_t tokens = 0;
  for (const PassText& text : batch) tokens += text.tokens();
  return tokens;
}

}  // namespace

/// A team and what its passes write to; its thread's alone.
struct Compute::Worker {
  std::unique_ptr<ParallelTeam> team;
  models::Activations scratch;
  models::Activations urgent_scratch;  // of passes that interrupt
  std::thread thread;
};

void Compute::Cancel::operator()() const {
  compute->end(*job, make_error(Errc::cancelled, "cancelled"));
  compute->wake_.notify_one();  // to let go of it
}

Compute::Compute(ComputeOptions options) : schedule_(options.teams.size(), options.queue_limits) {
  try {
    // The coordinators first: without them the helpers are of no use. They touch their teams only once there is work.
    for (const TeamPlan& plan : options.teams) {
      workers_.push_back(std::make_unique<Worker>());
      Worker& worker = *workers_.back();
      try {
        worker.thread = start_thread("stella-compute", [this, &worker, processors = plan.processors] {
          keep_to(processors);
          work(worker);
        });
      } catch (const std::exception&) {
        workers_.pop_back();
        if (workers_.empty()) throw;
        break;
      }
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      workers_[i]->team = std::make_unique<ParallelTeam>(options.teams[i].threads, options.teams[i].processors);
    }
  } catch (...) {
    stop();
    throw;
  }
}

Compute::Compute(std::size_t threads) : Compute(ComputeOptions{.teams = {{threads, {}}}}) {}

Compute::~Compute() {
  stop();
}

std::size_t Compute::threads() const noexcept {
  std::size_t threads = 0;
  for (const auto& worker : workers_) threads += worker->team->size();
  return threads;
}

PassCounters Compute::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Compute::embed(EmbedRequest request, Resolved model, const std::stop_token& stop, Completion<EmbedResult> done) {
  std::shared_ptr<EmbeddingJob> job;
  try {
    job = std::make_shared<EmbeddingJob>(std::move(request), std::move(model), std::move(done));
    job->check();
    if (job->is_tokenized()) job->end_tokenizing();
    if (job->size() == 0) return job->finish(nullptr);
    const EmbedOptions& asked = job->request().options;
    Schedule::Request entry;
    entry.model = job->model().encoder.get();
    entry.client = asked.client;
    entry.tokenized = job->is_tokenized();
    entry.sizes = job->sizes();
    entry.urgency = urgency_of(asked.priority, entry.sizes, entry.tokenized ? kInteractiveIds : kInteractiveBytes);
    entry.deadline = asked.deadline;
    submit(job, std::move(entry), stop);
  } catch (...) {
    if (job) return job->finish(typed_error(std::current_exception()));
    done(typed_error(std::current_exception()), {});
  }
}

void Compute::tokenize(TokenizeRequest request, Resolved model, const std::stop_token& stop,
                       Completion<std::vector<Tokens>> done) {
  std::shared_ptr<TokenizingJob> job;
  try {
    job = std::make_shared<TokenizingJob>(std::move(request), std::move(model), std::move(done));
    if (job->size() == 0) return job->finish(nullptr);
    Schedule::Request entry;
    entry.sizes = job->sizes();
    entry.urgency = urgency_of(Priority::automatic, entry.sizes, kInteractiveBytes);
    submit(job, std::move(entry), stop);
  } catch (...) {
    if (job) return job->finish(typed_error(std::current_exception()));
    done(typed_error(std::current_exception()), {});
  }
}

void Compute::submit(const std::shared_ptr<Job>& job, Schedule::Request request, const std::stop_token& stop) {
  job->progress.texts_left = job->progress.vectors_left = job->size();
  request.id = job->progress.id = ++last_id_;
  std::list<Entry> node;
  Entry& entry = node.emplace_back();
  entry.job = job;
  entry.on_stop.emplace(stop, Cancel{this, job.get()});
  if (request.deadline && *request.deadline <= TimeSheet::Clock::now()) return job->finish(deadline_error());
  if (std::exception_ptr refused = publish(node, request)) return job->finish(std::move(refused));
  wake_.notify_one();
}

/// Lets a request wait, unless it is over already. What keeps it out, or nothing.
std::exception_ptr Compute::publish(std::list<Entry>& node, const Schedule::Request& request) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return shut_down_error();
  if (node.front().job->is_over()) return nullptr;
  if (!schedule_.add(request)) return overloaded_error();
  try {
    by_id_.emplace(request.id, node.begin());
  } catch (...) {
    schedule_.remove(request.id);
    throw;
  }
  entries_.splice(entries_.end(), node);
  return nullptr;
}

void Compute::shut_down() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
}

void Compute::stop() {
  shut_down();
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

/// Answers a request, unless somebody has, and takes it off the schedule.
void Compute::end(Job& job, std::exception_ptr error) noexcept {
  if (!job.claim()) return;
  {
    const std::lock_guard lock(mutex_);
    schedule_.remove(job.progress.id);
    has_finished_ = true;
  }
  job.answer(std::move(error));
}

/// Where what has been taken from the schedule is not known any more.
void Compute::fail_all(const std::exception_ptr& error) noexcept {
  while (true) {
    std::shared_ptr<Job> job;
    {
      const std::lock_guard lock(mutex_);
      const auto found =
          std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return !e.job->is_over(); });
      if (found == entries_.end()) return;
      job = found->job;
    }
    end(*job, error);
  }
}

void Compute::drop_finished() noexcept {
  std::list<Entry> finished;  // goes outside the lock: a running stop callback is waited for
  const std::lock_guard lock(mutex_);
  if (!has_finished_) return;
  has_finished_ = false;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto at = entry++;
    if (!at->job->is_over()) continue;
    schedule_.remove(at->job->progress.id);  // whoever ends it may not have come to it yet
    by_id_.erase(at->job->progress.id);
    finished.splice(finished.end(), entries_, at);
  }
}

void Compute::end_expired() {
  const auto now = TimeSheet::Clock::now();
  while (true) {
    std::shared_ptr<Job> job;
    {
      const std::lock_guard lock(mutex_);
      const auto id = schedule_.expired(now);
      if (!id) return;
      job = by_id_.at(*id)->job;
      schedule_.remove(*id);
    }
    end(*job, deadline_error());
  }
}

bool Compute::wait_for_work() {
  std::unique_lock lock(mutex_);
  while (!stopping_ && !has_finished_ && schedule_.empty()) {
    const auto deadline = schedule_.next_deadline();
    if (!deadline) {
      wake_.wait(lock);
    } else if (wake_.wait_until(lock, *deadline) == std::cv_status::timeout) {
      break;
    }
  }
  return !stopping_;
}

void Compute::work(Worker& worker) {
  while (wait_for_work()) {
    try {
      take_turn(worker);
    } catch (...) {
      fail_all(typed_error(std::current_exception()));
    }
    drop_finished();
  }
  fail_all(shut_down_error());
  drop_finished();
}

void Compute::take_turn(Worker& worker) {
  end_expired();
  tokenize_some(worker, Urgency::interactive);
  for (int i = 0; i < kSlicesPerTurn && tokenize_some(worker, Urgency::bulk); ++i) overtake(worker);
  std::optional<Urgency> urgency;
  std::vector<PassText> batch;
  {
    const std::lock_guard lock(mutex_);
    urgency = schedule_.next_pass();
    if (!urgency) return;
    batch = pass_of(schedule_.take_pass(*urgency));
    wake_another();
  }
  const std::size_t tokens = tokens_of(batch);
  run_pass(worker, worker.scratch, std::move(batch), *urgency == Urgency::bulk);
  if (*urgency == Urgency::interactive) return;
  const std::lock_guard lock(mutex_);
  schedule_.bulk_ran(tokens);
}

/// Runs interactive requests inside bulk work, as far as the schedule lets them.
void Compute::overtake(Worker& worker) noexcept {
  try {
    while (true) {
      {
        const std::lock_guard lock(mutex_);
        if (stopping_ || !schedule_.may_overtake()) return;
      }
      tokenize_some(worker, Urgency::interactive);
      std::vector<PassText> batch;
      {
        const std::lock_guard lock(mutex_);
        if (schedule_.has_passes(Urgency::interactive)) batch = pass_of(schedule_.take_urgent_pass());
      }
      if (batch.empty()) return;
      run_pass(worker, worker.urgent_scratch, std::move(batch), false);
    }
  } catch (...) {
    fail_all(typed_error(std::current_exception()));
  }
}

/// Under mutex_. Somebody else may take what is left.
void Compute::wake_another() noexcept {
  if (workers_.size() > 1 && !schedule_.empty()) wake_.notify_one();
}

bool Compute::tokenize_some(Worker& worker, Urgency urgency) {
  std::vector<JobText> texts;
  {
    const std::lock_guard lock(mutex_);
    const auto taken = schedule_.take_texts(urgency, kBytesPerSlice, kTextsPerSlice);
    if (taken.empty()) return false;
    texts.reserve(taken.size());
    for (const TextOfRequest& text : taken) {
      texts.push_back({by_id_.at(text.request)->job, text.text});
      Job::Progress& progress = texts.back().job->progress;
      ++progress.texts_out;
      progress.times.begin_tokenizing();
    }
    wake_another();
  }
  std::vector<std::exception_ptr> errors(texts.size());
  worker.team->run(texts.size(), [&](std::size_t task, std::size_t) {
    const auto& [job, index] = texts[task];
    if (job->is_over() || stopping_) return;  // nobody waits for it any more
    try {
      job->tokenize(index);
    } catch (...) {
      errors[task] = typed_error(std::current_exception());
    }
  });
  for (std::size_t i = 0; i < texts.size() && !stopping_; ++i) end_tokenizing(texts[i], errors[i]);
  return true;
}

/// Of one text. The error of a request is that of its first bad text: texts are taken in their order, so it is known
/// once all those that were taken are back.
void Compute::end_tokenizing(const JobText& text, const std::exception_ptr& error) {
  Job& job = *text.job;
  Job::Progress& progress = job.progress;
  std::exception_ptr first;
  {
    const std::lock_guard lock(mutex_);
    progress.times.end_tokenizing();
    --progress.texts_out;
    --progress.texts_left;
    if (error && (!progress.error || text.text < progress.bad_text)) {
      progress.error = error;
      progress.bad_text = text.text;
      schedule_.remove(progress.id);
    }
    if (job.is_over() || (progress.error ? progress.texts_out : progress.texts_left) > 0) return;
    first = progress.error;
  }
  if (first) return end(job, std::move(first));
  try {
    std::vector<std::uint32_t> tokens = job.end_tokenizing();
    if (tokens.empty()) return end(job, nullptr);
    const std::lock_guard lock(mutex_);
    schedule_.tokenized(progress.id, std::move(tokens));
  } catch (...) {
    end(job, typed_error(std::current_exception()));
  }
}

/// Under mutex_. Long sequences first: the team's members then end their shares of attention close together.
std::vector<PassText> Compute::pass_of(const std::vector<TextOfRequest>& texts) {
  std::vector<PassText> batch;
  batch.reserve(texts.size());
  const std::uint64_t pass = counters_.passes + 1;
  for (const TextOfRequest& text : texts) {
    batch.push_back({std::static_pointer_cast<EmbeddingJob>(by_id_.at(text.request)->job), text.text});
    Job::Progress& progress = batch.back().job->progress;
    if (std::exchange(progress.last_pass, pass) != pass) ++progress.passes;
    progress.times.begin_computing();
  }
  counters_.add(batch.size(), tokens_of(batch));
  std::stable_sort(batch.begin(), batch.end(),
                   [](const PassText& a, const PassText& b) { return a.tokens() > b.tokens(); });
  return batch;
}

void Compute::run_pass(Worker& worker, models::Activations& scratch, std::vector<PassText> batch, bool yields) {
  const auto run = [&](std::span<const PassText> texts) {
    const auto go_on = [&] {
      end_expired();
      if (yields) overtake(worker);
      return !stopping_ &&
             std::any_of(texts.begin(), texts.end(), [](const PassText& text) { return !text.job->is_over(); });
    };
    if (run_forward_pass(texts, *worker.team, scratch, go_on)) finish(texts);
  };
  try {
    return run(batch);
  } catch (...) {  // NOLINT(bugprone-empty-catch): tried again below
  }
  // The same, request by request: what one of them cannot have is no matter of the others.
  for (auto first = batch.begin(); first != batch.end();) {
    EmbeddingJob& job = *first->job;
    const auto end_of_own =
        std::stable_partition(first, batch.end(), [&](const PassText& text) { return text.job.get() == &job; });
    try {
      run({first, end_of_own});
    } catch (...) {
      end(job, typed_error(std::current_exception()));
    }
    first = end_of_own;
  }
}

void Compute::finish(std::span<const PassText> batch) {
  for (const PassText& text : batch) {
    EmbeddingJob& job = *text.job;
    job.drop_ids(text.text);
    {
      const std::lock_guard lock(mutex_);
      job.progress.times.end_computing();
      if (--job.progress.vectors_left > 0) continue;
      job.write_stats();
    }
    end(job, nullptr);
  }
}

}  // namespace stella::engine
