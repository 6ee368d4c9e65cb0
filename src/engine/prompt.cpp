#include "engine/prompt.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <array>

namespace stella::engine {
namespace {

/// What a text is embedded for.
enum class Purpose { nothing, document, query, likeness };

/// The names that applications use. Of one purpose, those that mean the same come in the order in which a checkpoint's
/// prompts are tried for the others; a prompt for clustering is none for classification.
struct TaskName {
  std::string_view name;
  Purpose purpose;
  bool means_the_same = true;
};
constexpr std::array<TaskName, 17> kTasks{{{"none", Purpose::nothing},
                                           {"document", Purpose::document},
                                           {"passage", Purpose::document},
                                           {"search_document", Purpose::document},
                                           {"retrieval.passage", Purpose::document},
                                           {"doc", Purpose::document},
                                           {"documents", Purpose::document},
                                           {"s2p", Purpose::query},
                                           {"query", Purpose::query},
                                           {"search_query", Purpose::query},
                                           {"retrieval.query", Purpose::query},
                                           {"retrieval", Purpose::query},
                                           {"s2s", Purpose::likeness},
                                           {"sts", Purpose::likeness},
                                           {"similarity", Purpose::likeness},
                                           {"classification", Purpose::likeness, false},
                                           {"clustering", Purpose::likeness, false}}};

constexpr std::string_view kQuerySuffix = "_query";

// Model cards of stella_en_400M_v5 and stella_en_1.5B_v5.
constexpr std::string_view kS2p =
    "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: ";
constexpr std::string_view kS2s = "Instruct: Retrieve semantically similar text.\nQuery: ";

const TaskName* known(std::string_view task) {
  const auto* found = std::find_if(kTasks.begin(), kTasks.end(), [&](const TaskName& t) { return t.name == task; });
  return found == kTasks.end() ? nullptr : found;
}

/// "web" of "web_query"; empty for other names.
std::string_view query_of_what(std::string_view task) {
  if (!task.ends_with(kQuerySuffix)) return {};
  task.remove_suffix(kQuerySuffix.size());
  const bool plain = std::all_of(task.begin(), task.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
  return plain ? task : std::string_view();
}

/// The known name that `task` stands for; empty where it is unknown.
std::string_view meaning_of(std::string_view task) {
  if (known(task) != nullptr) return task;
  const std::string_view what = query_of_what(task);
  if (what.empty()) return {};
  const TaskName* base = known(what);
  return base != nullptr && base->purpose == Purpose::likeness ? what : std::string_view("s2p");
}

const std::string* find(const TaskPrompts& prompts, std::string_view name) {
  const auto at = prompts.find(std::string(name));
  return at == prompts.end() ? nullptr : &at->second;
}

/// The checkpoint's prompt of that name.
const std::string* own_prompt(const TaskPrompts& checkpoint, std::string_view name) {
  if (const std::string* own = find(checkpoint, name)) return own;
  return find(checkpoint, std::string(name).append(kQuerySuffix));
}

std::optional<std::string> prompt_of(const TaskName& task, const TaskPrompts& checkpoint, bool is_stella) {
  if (task.purpose == Purpose::nothing) return std::string();
  if (const std::string* own = own_prompt(checkpoint, task.name)) return *own;
  for (const TaskName& other : kTasks) {
    if (other.purpose != task.purpose || !other.means_the_same) continue;
    // sentence-transformers writes "query" and "document" without a text into every file: no prompt was chosen there.
    if (const std::string* own = own_prompt(checkpoint, other.name); own != nullptr && !own->empty()) return *own;
  }
  if (task.purpose == Purpose::document) return std::string();
  if (!is_stella) return std::nullopt;
  return std::string(task.purpose == Purpose::query ? kS2p : kS2s);
}

bool says_something(const TaskPrompts& checkpoint) {
  return std::any_of(checkpoint.begin(), checkpoint.end(), [](const auto& prompt) { return !prompt.second.empty(); });
}

std::string list(const TaskPrompts& tasks) {
  std::string names;
  for (const auto& [name, prompt] : tasks) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace

bool is_known_task(std::string_view task) {
  return !meaning_of(task).empty();
}

const std::string* find_task(const TaskPrompts& tasks, std::string_view task) {
  if (const std::string* prompt = find(tasks, task)) return prompt;
  const std::string_view meaning = meaning_of(task);
  return meaning.empty() ? nullptr : find(tasks, meaning);
}

const std::string& get_task(const TaskPrompts& tasks, std::string_view task) {
  if (const std::string* prompt = find_task(tasks, task)) return *prompt;
  const std::string name(task);
  if (is_known_task(task)) {
    throw Error(Errc::invalid_argument, "the model has no prompt for the task '" + name +
                                            "'; use the task 'none' or give a prompt of your own; the tasks of this "
                                            "model are: " +
                                            list(tasks));
  }
  throw Error(Errc::invalid_argument, "unknown task '" + name + "'; the tasks of this model are: " + list(tasks));
}

Prompts::Prompts(const TaskPrompts& checkpoint, bool is_stella, const std::optional<std::string>& default_name) {
  for (const TaskName& task : kTasks) {
    if (auto prompt = prompt_of(task, checkpoint, is_stella)) {
      tasks_.insert_or_assign(std::string(task.name), *std::move(prompt));
    }
  }
  for (const auto& [name, prompt] : checkpoint) {
    tasks_.try_emplace(name, prompt);
    if (const std::string_view what = query_of_what(name); !what.empty()) tasks_.try_emplace(std::string(what), prompt);
  }
  if (default_name) {
    default_task_ = *default_name;
    default_text_ = checkpoint.at(*default_name);
  } else if (says_something(checkpoint) && (is_stella || own_prompt(checkpoint, "s2p") != nullptr)) {
    default_task_ = "s2p";
    default_text_ = tasks_.at(default_task_);
  }
}

bool Prompts::has(std::string_view task) const {
  return find_task(tasks_, task) != nullptr;
}

std::string Prompts::text_for(std::string_view task) const {
  return task.empty() ? default_text_ : get_task(tasks_, task);
}

}  // namespace stella::engine
