#include "server/backend.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "format/weights.hpp"
#include "server/await.hpp"
#include "server/routes/errors.hpp"
#include "stella/error.hpp"
#include "stella/runtime.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <string_view>
#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;

PoolOptions pool_options(const Options& options, std::shared_ptr<Runtime> runtime) {
  PoolOptions pool;
  pool.runtime = std::move(runtime);
  pool.memory_limit = options.memory_limit;
  pool.memory_limit_name = "--memory-limit";
  pool.idle_unload = options.idle_unload;
  pool.max_models = options.models.size() + options.allowed_models.size();
  return pool;
}

/// The default model's, which tells how far it has come.
ModelOptions watched(ModelOptions model, const std::shared_ptr<Loading>& loading) {
  model.on_progress = [loading, next = std::move(model.on_progress)](const Progress& progress) {
    loading->on_file(progress);
    if (next) next(progress);
  };
  model.on_load = [loading, next = std::move(model.on_load)](double fraction) {
    loading->on_load(fraction);
    if (next) next(fraction);
  };
  return model;
}

ModelOptions at_revision(ModelOptions model, const Options& options, const std::string& id) {
  const auto found = options.revisions.find(id);
  model.revision = found == options.revisions.end() ? ModelOptions{}.revision : found->second;
  return model;
}

/// What the server's flags say of every model.
void set_terms(const Options& options, ModelFacts& facts) {
  facts.max_client_batch_size = options.max_client_batch_size;
  facts.max_texts = std::min(options.admission.texts, options.max_client_batch_size * options.max_batch_split);
  facts.max_concurrent_requests = options.admission.texts;
  facts.auto_truncate = options.auto_truncate;
  facts.any_token_ids = options.any_token_ids;
  facts.default_prompt_name = options.default_prompt_name;
  facts.default_prompt = options.default_prompt;
}

/// Requests a stop at a time, or when another stop is requested.
class Alarm {
 public:
  Alarm(const net::any_io_executor& executor, const Backend::Deadline& deadline, const std::stop_token& stop)
      : timer_(executor), forward_(stop, [source = source_] { std::stop_source(source).request_stop(); }) {
    if (!deadline) return;
    timer_.expires_at(*deadline);
    timer_.async_wait([source = source_, over = over_](const boost::system::error_code& error) mutable {
      if (error) return;
      *over = true;
      source.request_stop();
    });
  }

  std::stop_token token() const { return source_.get_token(); }
  bool is_over() const noexcept { return *over_; }

 private:
  std::stop_source source_{};
  std::shared_ptr<std::atomic<bool>> over_ = std::make_shared<std::atomic<bool>>(false);
  net::steady_timer timer_;
  std::stop_callback<std::function<void()>> forward_;
};

}  // namespace

Backend::Backend(const Options& options, ModelOptions model)
    : runtime_(model.runtime),
      preloaded_(options.models.size()),
      pool_(pool_options(options, model.runtime)),
      options_(options) {
  const auto add = [this](const std::string& id, const std::string& name, ModelOptions how) {
    if (find(id) != nullptr || find(name) != nullptr) {
      throw Error(Errc::invalid_argument, "'" + name + "' stands for two models; name each model once, or give them " +
                                              "different names with --served-model-name");
    }
    models_.push_back({id, name, Model(id, how).info().provider});
    pool_.add(id, std::move(how));
  };
  if (options.served_names.size() > options.models.size())
    throw Error(Errc::invalid_argument, "more --served-model-name than --model; the first is the first model's name");
  model.on_progress = [transfers = transfers_, next = std::move(model.on_progress)](const Progress& progress) {
    transfers->count(progress);
    if (next) next(progress);
  };
  for (std::size_t i = 0; i < options.models.size(); ++i) {
    const std::string& id = options.models[i];
    const std::string& name = i < options.served_names.size() ? options.served_names[i] : id;
    add(id, name, i == 0 ? watched(model, loading_) : at_revision(model, options, id));
  }
  for (const std::string& id : options.allowed_models) add(id, id, at_revision(model, options, id));
  facts_.resize(models_.size());
}

std::shared_ptr<const ModelFacts> Backend::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_.front();
}

const ServedModel& Backend::at(const std::string& name) const {
  if (const ServedModel* const found = find(name)) return *found;
  std::string known;
  for (const ServedModel& model : models_) known += (known.empty() ? "`" : ", `") + model.name + "`";
  throw ApiError(
      ErrorKind::model_not_found,
      "The model `" + printable_line(name, kMaxNameBytes) + "` does not exist here; this server has " + known, "model");
}

std::size_t Backend::compute_threads() const noexcept {
  return runtime_->compute_threads();
}

void Backend::append_figures(std::string& out) {
  std::map<std::string, std::string> names;
  for (const ServedModel& model : models_) names.emplace(model.id, model.name);
  append_pool(out, pool_.health(), names);
  transfers_->append(out);
}

const ServedModel* Backend::find(std::string_view name) const noexcept {
  constexpr std::string_view kTag = ":latest";  // Ollama's clients may write it out, once
  const std::string_view plain = name.ends_with(kTag) ? name.substr(0, name.size() - kTag.size()) : name;
  for (const std::string_view wanted : {name, plain}) {
    const auto found = std::find_if(models_.begin(), models_.end(), [wanted](const ServedModel& model) {
      return model.name == wanted || model.id == wanted;
    });
    if (found != models_.end()) return &*found;
  }
  return nullptr;
}

net::awaitable<std::shared_ptr<const ModelFacts>> Backend::facts_for(std::string name, std::stop_token stop,
                                                                     Deadline deadline) {
  const auto index = name.empty() ? 0 : static_cast<std::size_t>(&at(name) - models_.data());
  {
    const std::lock_guard lock(mutex_);
    if (facts_[index]) co_return facts_[index];
  }
  if (index == 0) throw ApiError(ErrorKind::unhealthy, progress());
  const Alarm alarm(co_await net::this_coro::executor, deadline, stop);
  try {
    co_return co_await load(index, alarm.token());
  } catch (const Error& error) {
    if (error.errc() != Errc::cancelled || !alarm.is_over()) throw;
  }
  throw Error(Errc::deadline_exceeded, "the model was not loaded within the request's time limit");
}

void Backend::set_options(const Options& options) {
  const std::lock_guard lock(mutex_);
  options_ = options;
  for (auto& facts : facts_) {
    if (!facts) continue;
    auto changed = std::make_shared<ModelFacts>(*facts);
    set_terms(options_, *changed);
    facts = std::move(changed);
  }
}

ModelFacts Backend::facts_of(const ServedModel& model, ModelDescription description) const {
  ModelFacts facts;
  facts.id = model.id;
  facts.served_name = model.name;
  facts.provider = model.provider;
  facts.weights = format::weights_of(model.id, description.commit, description.directory);
  facts.description = std::move(description);
  {
    const std::lock_guard lock(mutex_);
    set_terms(options_, facts);
  }
  EmbedOptions prompt;
  try {
    choose_prompt(facts, std::nullopt, prompt);
  } catch (const ApiError& error) {
    throw Error(Errc::invalid_argument, std::string(error.what()) + "; choose another --default-prompt-name");
  }
  return facts;
}

/// A text's ids with the template and without it tell what the template adds.
net::awaitable<void> Backend::find_template(ModelFacts& facts, std::stop_token stop) {
  std::vector<Tokens> results;
  for (const bool special : {false, true}) {
    TokenizeRequest request;
    request.texts.emplace_back("a");
    request.options.prompt = "";
    request.options.add_special_tokens = special;
    auto start = [&](auto done) { pool_.tokenize(facts.id, std::move(request), stop, std::move(done)); };
    std::vector<Tokens> tokens = co_await await_callback<std::vector<Tokens>>(start);
    results.push_back(std::move(tokens.at(0)));
  }
  const TokenIds& plain = results[0].ids;
  const TokenIds& whole = results[1].ids;
  const auto found = std::search(whole.begin(), whole.end(), plain.begin(), plain.end());
  if (found == whole.end()) co_return;
  facts.before.assign(whole.begin(), found);
  facts.behind.assign(found + static_cast<std::ptrdiff_t>(plain.size()), whole.end());
}

net::awaitable<std::shared_ptr<const ModelFacts>> Backend::load(std::size_t model, std::stop_token stop) {
  const ServedModel& served = models_[model];
  auto start = [&](auto done) { pool_.load(served.id, stop, std::move(done)); };
  ModelDescription description = co_await await_callback<ModelDescription>(start);
  auto facts = std::make_shared<ModelFacts>(facts_of(served, std::move(description)));
  co_await find_template(*facts, stop);
  EmbedRequest request;  // brings the default head
  request.texts.emplace_back("a");
  request.options.prompt = "";
  auto embed = [&](auto done) { pool_.embed(served.id, std::move(request), stop, std::move(done)); };
  co_await await_callback<EmbedResult>(embed);
  const std::lock_guard lock(mutex_);
  facts_[model] = facts;
  co_return facts;
}

net::awaitable<void> Backend::load_default(std::stop_token stop) {
  co_await load(0, stop);
}

net::awaitable<void> Backend::load_others(std::stop_token stop) {
  for (std::size_t i = 1; i < preloaded_ && !stop.stop_requested(); ++i) {
    std::string failure;
    try {
      co_await load(i, stop);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    if (!failure.empty() && !stop.stop_requested())
      log(LogLevel::warning,
          models_[i].name + " could not be loaded, and is tried again when it is asked for: " + failure);
  }
}

}  // namespace stella::server
