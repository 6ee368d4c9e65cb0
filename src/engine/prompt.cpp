#include "engine/prompt.hpp"

#include "base/log.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace stella::engine {
namespace {

/// The names that applications use, and the prompt that each stands for.
struct TaskName {
  std::string_view name;
  std::string_view prompt;  // "s2p", "s2s" or "none"
};
constexpr std::array<TaskName, 9> kTasks{{{"s2p", "s2p"},
                                          {"search_query", "s2p"},
                                          {"retrieval", "s2p"},
                                          {"s2s", "s2s"},
                                          {"classification", "s2s"},
                                          {"clustering", "s2s"},
                                          {"none", "none"},
                                          {"document", "none"},
                                          {"search_document", "none"}}};

// Model cards of stella_en_400M_v5 and stella_en_1.5B_v5.
constexpr std::string_view kS2p =
    "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: ";
constexpr std::string_view kS2s = "Instruct: Retrieve semantically similar text.\nQuery: ";

const TaskName* known(std::string_view task) {
  const auto* found = std::find_if(kTasks.begin(), kTasks.end(), [&](const TaskName& t) { return t.name == task; });
  return found == kTasks.end() ? nullptr : found;
}

}  // namespace

bool is_known_task(std::string_view task) {
  return known(task) != nullptr;
}

Prompts::Prompts(std::map<std::string, std::string> checkpoint, bool is_stella)
    : checkpoint_(std::move(checkpoint)), is_stella_(is_stella) {
  if (!checkpoint_.empty() && find("s2p")) default_task_ = "s2p";
}

std::optional<std::string> Prompts::find(std::string_view task) const {
  if (task == "none") return std::string();
  for (const std::string& name : {std::string(task), std::string(task) + "_query"}) {
    if (const auto own = checkpoint_.find(name); own != checkpoint_.end()) return own->second;
  }
  const TaskName* entry = known(task);
  if (entry == nullptr) return std::nullopt;
  if (entry->prompt != task) return find(entry->prompt);
  if (!is_stella_) return std::nullopt;
  return std::string(task == "s2p" ? kS2p : kS2s);
}

bool Prompts::has(std::string_view task) const {
  return find(task).has_value();
}

std::string Prompts::text_for(std::string_view task) const {
  if (task.empty()) return *find(default_task_);
  if (auto prompt = find(task)) return *std::move(prompt);
  if (is_known_task(task)) {
    throw Error(Errc::invalid_argument, "the model has no prompt for the task '" + std::string(task) +
                                            "'; use the task 'none' or give a prompt of your own");
  }
  log(LogLevel::warning,
      "unknown task '" + std::string(task) + "'; using the model's default, '" + default_task_ + "'");
  return *find(default_task_);
}

std::map<std::string, std::string> Prompts::all() const {
  std::map<std::string, std::string> result = checkpoint_;
  for (const TaskName& task : kTasks) {
    if (auto prompt = find(task.name)) result.insert_or_assign(std::string(task.name), *std::move(prompt));
  }
  return result;
}

}  // namespace stella::engine
