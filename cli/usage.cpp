#include "cli/usage.hpp"

#include "cli/failure.hpp"
#include "cli/options.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace stella::cli {
namespace {

/// What other programs call it.
constexpr std::array<std::pair<std::string_view, std::string_view>, 21> kSynonyms{
    {{"list", "models"},        {"ls", "models"},       {"remove", "rm"},
     {"delete", "rm"},          {"del", "rm"},          {"clean", "prune"},
     {"gc", "prune"},           {"check", "verify"},    {"test", "verify"},
     {"encode", "embed"},       {"vectorize", "embed"}, {"similar", "similarity"},
     {"compare", "similarity"}, {"tokens", "tokenize"}, {"get", "download"},
     {"fetch", "download"},     {"pull", "download"},   {"show", "info"},
     {"describe", "info"},      {"find", "search"},     {"query", "search"}}};

/// Letters to insert, delete, replace or swap with their neighbour.
std::size_t edits(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
  return names;
}

std::vector<std::string> names_of_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::string path_of(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : path_of(*app.get_parent()) + " " + app.get_name();
}

std::string see_help(const CLI::App& app) {
  return "see `" + path_of(app) + " --help`";
}

/// The last command of the line.
const CLI::App& chosen_of(const CLI::App& root) {
  const CLI::App* app = &root;
  for (auto next = app->get_subcommands(); !next.empty(); next = app->get_subcommands()) app = next.front();
  return *app;
}

[[noreturn]] void refuse_command(const CLI::App& app, const std::string& word) {
  const std::string meant = nearest(word, names_of_commands(app));
  std::string line = "there is no command '" + word + "'";
  if (app.get_parent() != nullptr) line += " of `" + path_of(app) + "`";
  if (!meant.empty()) throw Failure(kBadInput, line + "; did you mean `" + path_of(app) + " " + meant + "`?");
  throw Failure(kBadInput, line + "; " + see_help(app) + " for: " + join(names_of_commands(app)));
}

[[noreturn]] void refuse_early_option(const CLI::App& root, const std::string& option) {
  const std::string name = option.substr(0, option.find('='));
  for (const CLI::App* sub : root.get_subcommands({})) {
    if (sub->get_option_no_throw(name) == nullptr) continue;
    throw Failure(kBadInput, "options come after the command: `stella " + sub->get_name() + " " + name + " …`, not '" +
                                 option + "' before it");
  }
  throw Failure(kBadInput, "there is no option '" + option + "' before the command; " + see_help(root));
}

std::string missing_command(const CLI::App& app) {
  std::string line = "a command is wanted after `" + path_of(app) + "`: one of " + join(names_of_commands(app));
  return line + "; " + see_help(app);
}

bool takes_texts(const CLI::App& app) {
  const auto options = app.get_options(
      [](const CLI::Option* option) { return option->get_positional() && option->get_items_expected_max() > 1; });
  return !options.empty();
}

std::string unexpected(const CLI::App& root) {
  const CLI::App& app = chosen_of(root);
  std::vector<std::string> extras = root.remaining(true);
  for (std::string& extra : extras) extra = unguard(extra);
  const auto option = std::find_if(extras.begin(), extras.end(), [](const auto& e) { return e.starts_with("-"); });
  if (option == extras.end()) {
    if (extras.empty()) return "the arguments cannot be understood; " + see_help(app);
    const std::string& word = extras.front();
    if (!names_of_commands(app).empty()) refuse_command(app, word);
    return "'" + word + "' is one argument too many for `" + path_of(app) + "`; " + see_help(app);
  }
  const std::string name = option->substr(0, option->find('='));
  const std::string meant = nearest(name, names_of_options(app));
  std::string line = "`" + path_of(app) + "` has no option '" + name + "'";
  if (!meant.empty()) return line + "; did you mean '" + meant + "'?";
  line += "; " + see_help(app);
  return takes_texts(app) ? line + ", and put -- before texts that start with a dash" : line;
}

/// An option with too few or too many values.
std::string mismatch(const CLI::App& app, const std::string& sentence) {
  std::string name = sentence.substr(0, sentence.find_first_of(": "));
  if (!name.starts_with("-") && app.get_option_no_throw("--" + name) != nullptr) name.insert(0, "--");
  const CLI::Option* option = app.get_option_no_throw(name);
  if (option == nullptr) return sentence + "; " + see_help(app);
  if (option->get_items_expected_max() == 0) return name + " takes no value; " + see_help(app);
  if (option->count() < 2) return name + " wants a value, " + option->get_type_name() + "; " + see_help(app);
  const bool also_positional = option->get_positional();
  const std::string shown = also_positional ? option->get_name(true, false) + " (" + name + ")" : name;
  return shown + " is given more than once: '" + unguard(option->results().at(0)) + "' and '" +
         unguard(option->results().at(1)) + "'; give it once";
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  const auto is_known = [&](std::string_view name) {
    return std::find(known.begin(), known.end(), name) != known.end();
  };
  for (const auto& [other, ours] : kSynonyms) {
    if (word == other && is_known(ours)) return std::string(ours);
  }
  std::vector<std::string> begun;
  std::copy_if(known.begin(), known.end(), std::back_inserter(begun),
               [&](const std::string& name) { return word.size() > 1 && name.starts_with(word); });
  if (begun.size() == 1 && begun.front() != "--" + word) return begun.front();
  const std::size_t letters = word.find_first_not_of('-') == std::string::npos ? 0 : word.size();
  std::size_t least = letters < 4 ? 1 : letters < 9 ? 2 : 3;
  std::string best;
  for (const std::string& name : known) {
    const std::size_t distance = letters == 0 ? least + 1 : edits(word, name);
    if (distance > least || (distance == least && !best.empty())) continue;
    least = distance;
    best = name;
  }
  return best;
}

std::vector<std::string> check_commands(const CLI::App& root, std::vector<std::string> arguments) {
  if (arguments.empty()) throw Failure(kBadInput, missing_command(root));
  const bool help = arguments.front() == "help";
  if (help) arguments.erase(arguments.begin());
  const CLI::App* app = &root;
  for (const std::string& guarded : arguments) {
    if (names_of_commands(*app).empty()) break;
    const std::string word = unguard(guarded);
    if (word.starts_with("-")) {
      const bool known = app->get_option_no_throw(word) != nullptr;
      if (!known && app == &root) refuse_early_option(root, word);
      break;
    }
    const auto found = app->get_subcommands([&](const CLI::App* sub) { return sub->check_name(word); });
    if (found.empty()) refuse_command(*app, word);
    app = found.front();
  }
  if (help) arguments.emplace_back("--help");
  return arguments;
}

std::string usage_line(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App& app = chosen_of(root);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) return unexpected(root);
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) return mismatch(app, error.what());
  const bool wants_command =
      dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !names_of_commands(app).empty();
  if (wants_command) return missing_command(app);
  // What is left are sentences of this program's own checks, which begin with the option's name.
  std::string line = error.what();
  std::erase(line, '\x01');
  return line + "; " + see_help(app);
}

void forbid_flag_values(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() == 0) option->disable_flag_override();
  }
  for (CLI::App* sub : app.get_subcommands({})) forbid_flag_values(*sub);
}

}  // namespace stella::cli
