// Task names to the text that is put before each input.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace stella::engine {

/// Every task that a model answers, with its prompt. A task may have further names; find_task() knows them.
using TaskPrompts = std::map<std::string, std::string>;

/// The prompts of one model. A value; const members are thread-safe.
///
/// Sources, first wins: the checkpoint's own prompt of that name (config_sentence_transformers.json; "s2p_query" is
/// also found as "s2p"), then the checkpoint's prompt of a task that means the same ("query" for "s2p"), then, where
/// the model is a Stella, the two instructions of its model card. Documents have no prompt unless the checkpoint has
/// one, and "none" never has.
class Prompts {
 public:
  Prompts() = default;
  /// `default_name`: the checkpoint's default_prompt_name, one of its prompts.
  Prompts(const TaskPrompts& checkpoint, bool is_stella, const std::optional<std::string>& default_name = {});

  /// The prompt for `task`; empty: the default task. Throws Error(invalid_argument) that lists the tasks for one that
  /// is unknown, or that this model has no prompt for.
  std::string text_for(std::string_view task) const;

  /// The checkpoint's default_prompt_name; without one "s2p" where the checkpoint has prompts and that among them or
  /// built in, else "none".
  const std::string& default_task() const noexcept { return default_task_; }
  const TaskPrompts& all() const noexcept { return tasks_; }
  bool has(std::string_view task) const;

 private:
  TaskPrompts tasks_{{"none", ""}};
  std::string default_task_ = "none";
  std::string default_text_;
};

/// The prompt that `tasks` has for `task` or for what it means ("web_query" is a query); nothing where there is none.
const std::string* find_task(const TaskPrompts& tasks, std::string_view task);

/// As find_task(), but throws as Prompts::text_for() does.
const std::string& get_task(const TaskPrompts& tasks, std::string_view task);

/// Whether `task` is one of the names that every model knows.
bool is_known_task(std::string_view task);

}  // namespace stella::engine
