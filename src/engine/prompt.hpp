// Task names to the text that is put before each input.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace stella::engine {

/// The prompts of one model. A value; const members are thread-safe.
///
/// Sources, first wins: the checkpoint's own prompts (config_sentence_transformers.json; a name "s2p_query" is also
/// found as "s2p"), then, where the model is a Stella, the two instructions of its model card.
class Prompts {
 public:
  Prompts() = default;
  Prompts(std::map<std::string, std::string> checkpoint, bool is_stella);

  /// The prompt for `task`; empty: the default task. "none" is always no prompt, "document" and "search_document" are
  /// none unless the checkpoint has them. An unknown task is logged as a warning and embedded as the default. Throws
  /// Error(invalid_argument) for a known task that this model has no prompt for.
  std::string text_for(std::string_view task) const;

  /// "s2p" where the checkpoint has prompts and one for s2p is known, else "none".
  const std::string& default_task() const noexcept { return default_task_; }
  /// Every task that text_for() answers, with its prompt.
  std::map<std::string, std::string> all() const;
  bool has(std::string_view task) const;

 private:
  std::optional<std::string> find(std::string_view task) const;

  std::map<std::string, std::string> checkpoint_;
  bool is_stella_ = false;
  std::string default_task_ = "none";
};

/// Whether `task` is one of the names that every model knows.
bool is_known_task(std::string_view task);

}  // namespace stella::engine
