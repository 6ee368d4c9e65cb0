// What the subcommands' options have in common.
#pragma once

#include "cli/input.hpp"
#include "cli/progress.hpp"
#include "cli/session.hpp"
#include "stella/error.hpp"
#include "stella/model.hpp"
#include "stella/options.hpp"
#include "stella/runtime.hpp"

#include <cstddef>
#include <functional>
#include <memory>
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
CLI::Option* add_count(CLI::App& app, const std::string& names, std::optional<std::size_t>& target,
                       const std::string& description);

struct CommonOptions {
  std::optional<std::string> model{};
  std::string revision = "main";
  std::string precision = "auto";
  std::optional<std::size_t> threads{};
  bool keep_packed_weights = true;
  bool offline = false;
  bool quiet = false;
  std::string log_level = "warning";

  std::string model_or_default() const { return model.value_or(kDefaultModel); }
};
/// `positional`: MODEL may also be given as the argument.
void add_common(CLI::App& app, CommonOptions& options, bool positional = false);

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

struct TextOptions {
  std::vector<std::string> texts{};
  std::optional<std::string> input{};
  std::optional<std::string> input_format{};
  std::string field = "text";
};
void add_texts(CLI::App& app, TextOptions& options);
/// Opens the input. Throws Failure(kBadInput) where there is none, or both kinds.
std::unique_ptr<TextSource> open_texts(const TextOptions& options, Session& session);

struct PromptOptions {
  std::optional<std::string> task{};
  std::optional<std::string> prompt{};
  std::optional<std::size_t> max_length{};
};
void add_prompt(CLI::App& app, PromptOptions& options);
void add_max_length(CLI::App& app, PromptOptions& options);

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

/// The model that the options name, with the threads and the display that it needs.
class Workspace {
 public:
  /// `otherwise` as for Screen.
  Workspace(Session& session, const CommonOptions& options, ProgressStyle otherwise = ProgressStyle::none);
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace();

  StellaEmbeddingModel& model() noexcept { return *model_; }
  Session& session() noexcept { return session_; }
  const std::string& name() const noexcept { return name_; }
  Runtime& runtime() noexcept { return *runtime_; }

  ModelDescription describe();
  LoadedStellaModel load();
  /// One line on standard error, unless --quiet.
  void warn(const std::string& line) { screen_.warn(line); }
  Screen& screen() noexcept { return screen_; }

 private:
  Session& session_;
  std::string name_;
  Screen screen_;
  std::shared_ptr<Runtime> runtime_;
  std::optional<StellaEmbeddingModel> model_{};
};

/// Throws Failure(kBadInput) where both a task and a prompt were given.
void check_prompt(const PromptOptions& options);

/// A task as it will be used: the model's default for none given and, with a warning, for one it does not know.
std::string effective_task(const PromptOptions& options, const ModelDescription& description, Workspace& workspace);

/// One line with the context that helps: for a hub that cannot be reached and the default model, what needs no hub.
std::string failure_line(const Error& error, const CommonOptions* options);
int exit_status(const Error& error) noexcept;

}  // namespace stella::cli
