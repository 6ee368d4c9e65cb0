#include "cli/options.hpp"

#include "base/text.hpp"
#include "stella/log.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kGroup = "Model and program";
constexpr char kGuard = '\x01';
constexpr std::size_t kMaxThreads = 1024;
constexpr int kMostGiven = 4096;  // of an option that may be given several times

LogLevel parse_log_level(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLevels{{{"debug", LogLevel::debug},
                                                                          {"info", LogLevel::info},
                                                                          {"warning", LogLevel::warning},
                                                                          {"error", LogLevel::error}}};
  for (const auto& [text, level] : kLevels) {
    if (text == name) return level;
  }
  throw Failure(kBadInput, "unknown --log-level '" + name + "'; choose one of: debug, info, warning, error");
}

const char* prefix_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "stella: debug: ";
    case LogLevel::info:
      return "stella: info: ";
    case LogLevel::warning:
      return "stella: warning: ";
    default:
      return "stella: error: ";
  }
}

ProgressStyle choose_style(const CommonOptions& options, const HubOptions& hub, ProgressStyle otherwise) {
  if (options.quiet) return ProgressStyle::none;
  if (isatty(STDERR_FILENO) != 1) return otherwise;
  return hub.progress_bars ? ProgressStyle::bars : otherwise;
}

}  // namespace

HubOptions hub_options(const CommonOptions& options) {
  HubOptions hub = HubOptions::from_environment();
  hub.offline = hub.offline || options.offline;
  if (options.hub_cache) hub.cache_dir = *options.hub_cache;
  if (options.hub_token) hub.token = *options.hub_token;
  return hub;
}

std::vector<std::string> guard_arguments(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  bool texts_only = false;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (!texts_only && argument == "--") {
      texts_only = true;
      continue;
    }
    const bool bracket = !argument.empty() && (argument.front() == '[' || argument.front() == kGuard);
    if (texts_only || bracket) argument.insert(0, 1, kGuard);
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

std::string unguard(std::string argument) {
  if (!argument.empty() && argument.front() == kGuard) argument.erase(0, 1);
  return argument;
}

namespace {

// Target: a string, or an optional one that stays empty where the option is not given.
template <class Target>
CLI::Option* add_unguarded(CLI::App& app, const std::string& names, Target& target, const std::string& description) {
  return app
      .add_option(
          names,
          [&target](const CLI::results_t& results) {
            target = unguard(results.at(0));
            return true;
          },
          description)
      ->type_name("TEXT");
}

}  // namespace

CLI::Option* add_string(CLI::App& app, const std::string& names, std::string& target, const std::string& description) {
  return add_unguarded(app, names, target, description);
}

CLI::Option* add_string(CLI::App& app, const std::string& names, std::optional<std::string>& target,
                        const std::string& description) {
  return add_unguarded(app, names, target, description);
}

CLI::Option* add_strings(CLI::App& app, const std::string& names, std::vector<std::string>& target,
                         const std::string& description) {
  const auto take = [&target](const CLI::results_t& results) {
    target.clear();
    for (const std::string& result : results) target.push_back(unguard(result));
    return true;
  };
  return app.add_option(names, take, description)->type_name("TEXT")->expected(1, kMostGiven)->allow_extra_args(false);
}

CLI::Option* add_count(CLI::App& app, const std::string& names, std::optional<std::size_t>& target,
                       const std::string& description) {
  const auto check = [](const std::string& text) {
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = error == std::errc{} && end == text.data() + text.size() && value != 0;
    return good ? std::string() : "a whole number above 0 is wanted, not '" + text + "'";
  };
  return app.add_option(names, target, description)->check(check)->type_name("N");
}

void add_program(CLI::App& app, CommonOptions& options) {
  app.add_flag("--offline", options.offline, "Use the cache only, never the network")->group(kGroup);
  app.set_version_flag("--version", "stella " STELLA_VERSION, "Print the program's version and exit")->group(kGroup);
  app.add_flag("--quiet", options.quiet, "No progress bars and no warnings")->group(kGroup);
  add_string(app, "--log-level", options.log_level,
             "Least of the remarks that are shown on standard error (default warning)")
      ->type_name("debug|info|warning|error")
      ->group(kGroup);
}

void add_common(CLI::App& app, CommonOptions& options, ModelArgument argument) {
  if (argument != ModelArgument::none) {
    const std::string otherwise =
        argument == ModelArgument::described ? "none: what there is to say without one" : kDefaultModel;
    add_string(app, argument == ModelArgument::option_only ? "--model" : "MODEL,--model", options.model,
               "Repository id, directory, or 'demo' for the bundled model (default " + otherwise + ")")
        ->type_name("ID|DIR|demo")
        ->group(kGroup);
  }
  add_string(app, "--revision", options.revision, "Branch, tag or commit of the repository (default main)")
      ->type_name("REV")
      ->group(kGroup);
  add_string(app, "--precision", options.precision,
             "Arithmetic of the encoder; auto, the default, is the fastest that agrees with f32 on this model")
      ->type_name("auto|f32|bf16|int16|int8")
      ->group(kGroup);
  add_count(app, "--threads", options.threads, "Threads that compute (default: the processors it may use)")
      ->group(kGroup);
  app.add_flag(
         "--no-packed-weights", [&options](std::int64_t) { options.keep_packed_weights = false; },
         "Pack the weights at each start, and keep nothing of that on the disk")
      ->group(kGroup);
  add_program(app, options);
}

LogLevel least_logged(const CommonOptions& options) {
  return options.quiet ? LogLevel::error : parse_log_level(options.log_level);
}

Screen::Screen(const CommonOptions& options, const HubOptions& hub, ProgressStyle otherwise)
    : quiet_(options.quiet), display_(choose_style(options, hub, otherwise), STDERR_FILENO) {
  const LogLevel least = least_logged(options);
  set_log_sink([this, least](LogLevel level, std::string_view line) {
    if (level >= least) display_.print(printable_line(prefix_of(level) + std::string(line)));
  });
}

Screen::~Screen() {
  set_log_sink({});
}

void Screen::warn(const std::string& line) {
  if (!quiet_) display_.print(printable_line(prefix_of(LogLevel::warning) + line));
}

bool FinishedFiles::is_news(const Progress& progress) {
  const std::lock_guard lock(mutex_);
  const std::string key = progress.repo + "/" + progress.file;
  const auto known = transferred_.find(key);
  // What was in the cache may be fetched again: because the branch has moved, or because it was damaged.
  const bool news = known == transferred_.end() || (!known->second && !progress.from_cache);
  if (news && progress.finished) transferred_[key] = !progress.from_cache;
  return news;
}

ModelSession::ModelSession(Session& session, const CommonOptions& options, ProgressStyle otherwise)
    : session_(session), name_(options.model_or_default()), screen_(options, hub_options(options), otherwise) {
  if (options.threads.value_or(1) > kMaxThreads) {
    throw Failure(kBadInput, "--threads " + std::to_string(*options.threads) + " is more than the most, " +
                                 std::to_string(kMaxThreads) + "; leave it out to use what there is");
  }
  RuntimeOptions runtime;
  runtime.compute_threads = options.threads.value_or(0);
  runtime_ = std::make_shared<Runtime>(runtime);
  ModelOptions model;
  model.revision = options.revision;
  model.precision = parse_precision(options.precision);
  model.packed_weights.keep = options.keep_packed_weights;
  model.hub = hub_options(options);
  model.on_progress = [this](const Progress& progress) {
    if (!finished_.is_news(progress)) return;
    if (!progress.from_cache) transferred_ = true;
    screen_.display().on_file(progress);
  };
  model.on_load = [this](double fraction) { screen_.display().on_load(fraction); };
  model.runtime = runtime_;
  model_.emplace(name_, std::move(model));
}

ModelSession::~ModelSession() {
  model_.reset();
  runtime_.reset();
}

ModelDescription ModelSession::describe() {
  return fetching(
      [this] { return session_.run<ModelDescription>([this](auto token) { model_->describe(std::move(token)); }); });
}

LoadedStellaModel ModelSession::load() {
  auto loaded = fetching([this] {
    return session_.run<LoadedStellaModel>([this](auto token) { LoadedStellaModel::load(*model_, std::move(token)); });
  });
  screen_.display().close();
  return loaded;
}

std::string failure_line(const Error& error, const CommonOptions* options) {
  std::string line = error.what();
  const std::string& cause = error.context().cause;
  if (!cause.empty() && line.find(cause) == std::string::npos) line += " (" + cause + ")";
  if (error.errc() == Errc::repository_not_found && options != nullptr && options->model) {
    line += "; nor is there a directory '" + *options->model + "' here";
  }
  const bool out_of_reach = error.errc() == Errc::hub_unreachable || error.errc() == Errc::local_entry_not_found ||
                            error.errc() == Errc::offline;
  if (out_of_reach && options != nullptr && options->model_or_default() == kDefaultModel) {
    line += "; to try stella without the hub, use --model demo";
  }
  return line;
}

int exit_status(const Error& error) noexcept {
  if (error.errc() == Errc::cancelled) return kInterrupted;
  if (is_hub_error(error.errc())) return kHubFailure;
  return is_input_error(error.errc()) ? kBadInput : kRuntimeFailure;
}

}  // namespace stella::cli
