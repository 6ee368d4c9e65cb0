// Options of the subcommands that take texts: where the texts come from, and what is put before them.
#pragma once

#include "cli/input.hpp"
#include "cli/options.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella::cli {

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

/// Throws Failure(kBadInput) where both a task and a prompt were given.
void check_prompt(const PromptOptions& options);

/// A task as it will be used: the model's default for none given and, with a warning, for one it does not know.
std::string effective_task(const PromptOptions& options, const ModelDescription& description, Workspace& workspace);

}  // namespace stella::cli
