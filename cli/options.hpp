// What the subcommands' options have in common.
#pragma once

#include "cli/failure.hpp"
#include "cli/progress.hpp"
#include "cli/session.hpp"
#include "stella/error.hpp"
#include "stella/log.hpp"
#include "stella/options.hpp"
#include "stella/runtime.hpp"
#include "stella/stella.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace stella::cli {

inline constexpr const char* kDefaultModel = "NovaSearch/stella_en_400M_v5";

/// The arguments as CLI11 may see them. It takes an argument in brackets for a list, and forgets behind "--" whose
/// subcommand's texts follow; so such arguments get a mark in front, which every string option registered here takes
/// off again.
std::vector<std::string> guard_arguments(int argc, const char* const* argv);
std::string unguard(std::string argument);

CLI::Option* add_string(CLI::App& app, const std::string& names, std::string& target, const std::string& description);
CLI::Option* add_string(CLI::App& app, const std::string& names, std::optional<std::string>& target,
                        const std::string& description);
/// One that may be given several times.
CLI::Option* add_strings(CLI::App& app, const std::string& names, std::vector<std::string>& target,
                         const std::string& description);
CLI::Option* add_count(CLI::App& app, const std::string& names, std::optional<std::size_t>& target,
                       const std::string& description);

struct CommonOptions {
  std::optional<std::string> model{};
  std::optional<std::string> hub_cache{};  ///< In place of HF_HUB_CACHE.
  std::optional<std::string> hub_token{};  ///< In place of HF_TOKEN.
  std::string revision = "main";
  std::string precision = "auto";
  std::optional<std::size_t> threads{};
  bool keep_packed_weights = true;
  bool offline = false;
  bool quiet = false;
  std::string log_level = "warning";

  std::string model_or_default() const { return model.value_or(kDefaultModel); }
};
enum class ModelArgument : std::uint8_t {
  option_only,  ///< --model
  positional,   ///< Or the argument MODEL.
  none,         ///< The subcommand has an option of its own.
  described     ///< The same, but nothing where neither is given, instead of the default model.
};
void add_common(CLI::App& app, CommonOptions& options, ModelArgument argument = ModelArgument::option_only);

/// Those options that say nothing of a model: --offline, --quiet, --log-level, --version.
void add_program(CLI::App& app, CommonOptions& options);

/// The environment's settings with the options' changes.
HubOptions hub_options(const CommonOptions& options);

/// A subcommand: `run` returns the exit status or throws.
struct Command {
  CLI::App* app = nullptr;
  std::shared_ptr<const CommonOptions> common{};
  std::function<int(Session&)> run{};
};

/// Of --log-level and --quiet: remarks below this are not shown.
LogLevel least_logged(const CommonOptions& options);

/// Progress and the library's remarks on standard error, while it lives.
class Screen {
 public:
  /// `otherwise`: how progress is shown where standard error is no terminal.
  Screen(const CommonOptions& options, const HubOptions& hub, ProgressStyle otherwise = ProgressStyle::none);
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();

  ProgressDisplay& display() noexcept { return display_; }
  /// One line, unless --quiet.
  void warn(const std::string& line);

 private:
  bool quiet_;
  ProgressDisplay display_;
};

/// Which files' progress has been shown to its end. Several parts of a load may ask for the same file, and each is
/// told. Thread-safe.
class FinishedFiles {
 public:
  /// Whether `progress` says something new.
  bool is_news(const Progress& progress);

 private:
  std::mutex mutex_{};
  std::map<std::string, bool> transferred_{};  ///< By repository and file.
};

/// The model that the options name, with the threads and the display that it needs.
class ModelSession {
 public:
  /// `otherwise` as for Screen.
  ModelSession(Session& session, const CommonOptions& options, ProgressStyle otherwise = ProgressStyle::none);
  ModelSession(const ModelSession&) = delete;
  ModelSession& operator=(const ModelSession&) = delete;
  ~ModelSession();

  StellaEmbeddingModel& model() noexcept { return *model_; }
  Session& session() noexcept { return session_; }
  const std::string& name() const noexcept { return name_; }
  Runtime& runtime() noexcept { return *runtime_; }

  ModelDescription describe();
  LoadedStellaModel load();
  /// `run()`, which may download: an interruption of it says what becomes of the files that are here already.
  template <class Run>
  auto fetching(Run&& run) {
    try {
      return run();
    } catch (const Interrupted& interrupted) {
      if (!transferred_) throw;
      throw Interrupted(interrupted.signal_number(), "interrupted; files downloaded so far are kept for the next run");
    }
  }
  /// One line on standard error, unless --quiet.
  void warn(const std::string& line) { screen_.warn(line); }
  Screen& screen() noexcept { return screen_; }

 private:
  Session& session_;
  std::string name_;
  Screen screen_;
  FinishedFiles finished_{};
  std::atomic<bool> transferred_{false};  ///< Bytes came from the hub.
  std::shared_ptr<Runtime> runtime_;
  std::optional<StellaEmbeddingModel> model_{};
};

/// One line with the context that helps: for a hub that cannot be reached and the default model, what needs no hub.
std::string failure_line(const Error& error, const CommonOptions* options);
int exit_status(const Error& error) noexcept;

}  // namespace stella::cli
