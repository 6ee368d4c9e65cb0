// Options of the subcommands that take texts: where the texts come from, and what is put before them.
#pragma once

#include "cli/input.hpp"
#include "cli/options.hpp"
#include "cli/progress.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stella::cli {

struct TextOptions {
  std::vector<std::string> texts{};
  std::optional<std::string> input{};
  std::optional<std::string> input_format{};
  std::optional<std::string> field{};
  std::optional<std::string> keep{};
  bool skip_empty = false;
};
/// Adds TEXT and the options of --input.
void add_texts(CLI::App& app, TextOptions& options);
/// Any number of arguments, which may look like anything.
void add_arguments(CLI::App& app, const std::string& name, std::vector<std::string>& arguments,
                   const std::string& description);
/// --input-format, --field and --skip-empty.
void add_input_format(CLI::App& app, TextOptions& options);

/// What --input-format or else the file's name says.
InputFormat input_format_of(const TextOptions& options);
/// The names of --keep.
std::vector<std::string> kept_fields(const TextOptions& options);
/// Opens the input. Throws Failure(kBadInput) where there is none, or both kinds.
std::unique_ptr<TextSource> open_texts(const TextOptions& options, Session& session);

/// How --input is read; nothing is opened. Throws Failure(kBadInput) where the options do not go together.
FileSourceOptions file_options(const TextOptions& options);

/// Waits that signals end.
WaitFunction waiting(Session& session);

struct PromptOptions {
  std::optional<std::string> task{};
  std::optional<std::string> prompt{};
  std::optional<std::size_t> max_length{};
};
void add_prompt(CLI::App& app, PromptOptions& options, std::string_view default_task = "s2p");
void add_max_length(CLI::App& app, PromptOptions& options);

/// Throws Failure(kBadInput) where both a task and a prompt were given.
void check_prompt(const PromptOptions& options);

/// The task of the options, else the model's default. Throws Error(invalid_argument) that lists the tasks for one that
/// the model does not know.
std::string effective_task(const PromptOptions& options, const ModelDescription& description);

/// The text that a task puts before each text of this model; empty also for a task that it does not know.
std::string prompt_of(const std::string& task, const ModelDescription& description);

/// Counts what went through the model, shows it, and says what should be known of it in the end.
class TextReport {
 public:
  /// `show_bar`: with a bar of the texts, on a terminal.
  TextReport(ModelSession& model_session, const TextSource& source, bool show_bar)
      : workspace_(model_session), source_(&source), show_bar_(show_bar) {}

  /// What is added from here on comes from another source.
  void go_on_with(const TextSource& source);
  /// Bytes of all sources.
  void set_total(std::uint64_t bytes) { total_ = bytes; }
  /// A chunk's results are out.
  void add(const Chunk& chunk, std::uint64_t tokens, std::size_t truncated);
  /// "7 of 9 texts were cut to 512 tokens", "2 empty texts were skipped".
  void finish(std::size_t max_length);

  std::size_t texts() const noexcept { return progress_.texts; }
  std::uint64_t tokens() const noexcept { return progress_.tokens; }
  std::size_t truncated() const noexcept { return truncated_; }
  std::size_t skipped() const noexcept { return skipped_before_ + source_->skipped(); }
  double seconds() const;

 private:
  ModelSession& workspace_;
  const TextSource* source_;
  std::uint64_t bytes_before_ = 0;  ///< Of earlier sources.
  std::size_t skipped_before_ = 0;
  std::optional<std::uint64_t> total_{};
  bool show_bar_;
  TextProgress progress_{};
  std::size_t truncated_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace stella::cli
