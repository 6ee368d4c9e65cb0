// `stella completion`: what a shell needs to complete command lines of this program, made from the commands and options
// that it has. An option's type name says what its value can be: "lines|jsonl" are words to choose from, FILE, TAR
// and NPY are files, DIR folders, ID models of the registry; other capitals are free.
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "stella/registry.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella completion bash > ~/.local/share/bash-completion/completions/stella
  stella completion zsh > ~/.zsh/completions/_stella     a folder of $fpath
  stella completion fish > ~/.config/fish/completions/stella.fish

For one session of bash: `source <(stella completion bash)`. `make install` puts all three where the shells look.)";

/// What can stand at one place.
struct Values {
  std::vector<std::string> words{};
  bool files = false;
  bool folders = false;
};

struct OptionEntry {
  std::vector<std::string> names{};  ///< With their dashes.
  std::string description{};
  bool takes_value = false;
  Values values{};
};

struct Subcommand {
  std::string name{};
  std::string description{};
  std::vector<std::string> names{};  ///< With its other names.
};

struct CommandEntry {
  std::string path{};  ///< "cache ls"; empty for the program itself.
  std::vector<Subcommand> commands{};
  std::vector<OptionEntry> options{};
  Values arguments{};
};

bool is_word(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Values values_of(const std::string& type_name) {
  Values values;
  for (std::size_t at = 0; at <= type_name.size();) {
    const std::size_t end = std::min(type_name.find('|', at), type_name.size());
    const std::string part = type_name.substr(at, end - at);
    at = end + 1;
    if (part == "FILE" || part == "TAR" || part == "NPY") values.files = true;
    if (part == "DIR") values.folders = true;
    if (part == "ID") {
      for (std::string& key : Registry::builtin().keys()) values.words.push_back(std::move(key));
    }
    if (is_word(part)) values.words.push_back(part);
  }
  return values;
}

OptionEntry entry_of(const CLI::Option& option) {
  OptionEntry entry;
  for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  entry.description = option.get_description();
  entry.takes_value = option.get_items_expected_max() != 0;
  if (entry.takes_value) entry.values = values_of(option.get_type_name());
  return entry;
}

void collect(const CLI::App& app, const std::string& path, std::vector<CommandEntry>& entries) {
  const auto subcommands = app.get_subcommands({});
  CommandEntry entry;
  entry.path = path;
  for (const CLI::App* sub : subcommands) {
    Subcommand below{sub->get_name(), sub->get_description(), sub->get_aliases()};
    below.names.insert(below.names.begin(), below.name);
    entry.commands.push_back(std::move(below));
  }
  if (path.empty()) entry.commands.push_back({"help", "Print a command's help", {}});
  for (const CLI::Option* option : app.get_options()) {
    if (option->nonpositional()) entry.options.push_back(entry_of(*option));
    if (option->get_positional()) entry.arguments = values_of(option->get_type_name());
  }
  entries.push_back(std::move(entry));
  for (const CLI::App* sub : subcommands) {
    collect(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), entries);
  }
}

/// In single quotes, as the three shells read it.
std::string quoted(const std::string& text, bool fish = false) {
  std::string out = "'";
  for (const char c : text) {
    if (fish && (c == '\'' || c == '\\')) {
      out += '\\';
      out += c;
    } else if (c == '\'') {
      out += "'\\''";
    } else {
      out += c == '\n' ? ' ' : c;
    }
  }
  return out + "'";
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

/// `case` pattern for the path and each of an option's names: 'embed --dim'.
std::string pattern(const std::string& path, const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    if (!out.empty()) out += '|';
    out += quoted(path + " " + name);
  }
  return out;
}

std::string path_to(const CommandEntry& entry, const Subcommand& sub) {
  return entry.path.empty() ? sub.name : entry.path + " " + sub.name;
}

/// Sets the shell variables `words`, `files` and `folders`, which both scripts declare.
std::string assignments(const Values& values) {
  std::string out = "words=" + quoted(join(values.words));
  if (values.files) out += " files=1";
  if (values.folders) out += " folders=1";
  return out;
}

/// The part that bash and zsh have in common: from `path` and `previous`, what can follow.
std::string posix_cases(const std::vector<CommandEntry>& entries, const std::string& indent) {
  std::string values = indent + "case \"$stella_path $previous\" in\n";
  std::string rest = indent + "case \"$stella_path\" in\n";
  for (const CommandEntry& entry : entries) {
    std::vector<std::string> names;
    for (const OptionEntry& option : entry.options) {
      names.insert(names.end(), option.names.begin(), option.names.end());
      if (!option.takes_value) continue;
      values +=
          indent + "  " + pattern(entry.path, option.names) + ") takes_value=1 " + assignments(option.values) + " ;;\n";
    }
    Values arguments = entry.arguments;
    for (const Subcommand& sub : entry.commands) arguments.words.push_back(sub.name);
    rest += indent + "  " + quoted(entry.path) + ") options=" + quoted(join(names)) + " " + assignments(arguments) +
            " ;;\n";
  }
  return values + indent + "esac\n" + indent + "if [[ -z $takes_value ]]; then\n" + rest + indent + "esac\n" + indent +
         "fi\n";
}

/// Finds the command that the words before the cursor name.
std::string posix_paths(const std::vector<CommandEntry>& entries, const std::string& indent) {
  std::string out = indent + "case \"$stella_path $word\" in\n" + indent + "  ' help') ;;\n";
  for (const CommandEntry& entry : entries) {
    for (const Subcommand& sub : entry.commands) {
      if (!sub.names.empty()) {
        out +=
            indent + "  " + pattern(entry.path, sub.names) + ") stella_path=" + quoted(path_to(entry, sub)) + " ;;\n";
      }
    }
  }
  return out + indent + "esac\n";
}

std::string bash_script(const std::vector<CommandEntry>& entries) {
  return R"(# bash completion for stella, made by `stella completion bash`
_stella() {
  local current previous stella_path='' word words='' options='' files='' folders='' takes_value='' i
  current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  # bash takes --name=value apart
  if [[ $current == '=' ]]; then
    current=''
  elif [[ $previous == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
)" + posix_paths(entries, "    ") +
         "  done\n" + posix_cases(entries, "  ") + R"(  COMPREPLY=()
  if [[ -z $takes_value && $current == -* ]]; then
    words=$options files='' folders=''
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
  elif [[ -n $folders ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current")
  fi
}
complete -F _stella stella
)";
}

/// `_describe` takes "name:description" with the colons of the name escaped.
std::string zsh_descriptions(const CommandEntry& entry) {
  std::string commands;
  for (const Subcommand& sub : entry.commands) commands.append(" ").append(quoted(sub.name + ":" + sub.description));
  std::string options;
  for (const OptionEntry& option : entry.options) {
    for (const std::string& name : option.names) options.append(" ").append(quoted(name + ":" + option.description));
  }
  return "    " + quoted(entry.path) + ") commands=(" + commands + " ) described=(" + options + " ) ;;\n";
}

std::string zsh_script(const std::vector<CommandEntry>& entries) {
  std::string out = R"(#compdef stella
# zsh completion for stella, made by `stella completion zsh`
_stella() {
  local current=${words[CURRENT]} previous=${words[CURRENT-1]} stella_path='' word i
  local options='' files='' folders='' takes_value=''
  local -a typed commands described choices
  typed=("${words[@]}")
  if [[ $current == --*=* ]]; then
    previous=${current%%=*}
    compset -P '*='
  fi
  for ((i = 2; i < CURRENT; ++i)); do
    word=${typed[i]}
)" + posix_paths(entries, "    ") +
                    "  done\n  local words=''\n" + posix_cases(entries, "  ") + "  case \"$stella_path\" in\n";
  for (const CommandEntry& entry : entries) out += zsh_descriptions(entry);
  return out + R"(  esac
  choices=(${=words})
  if [[ -n $takes_value ]]; then
    compadd -- $choices
  elif [[ $current == -* ]]; then
    _describe -o 'option' described
    return
  elif (( ${#commands} )); then
    _describe 'command' commands
    return
  else
    compadd -- $choices
  fi
  if [[ -n $files ]]; then
    _files
  elif [[ -n $folders ]]; then
    _files -/
  fi
}
if [[ ${funcstack[1]} == _stella ]]; then
  _stella "$@"
else
  compdef _stella stella
fi
)";
}

/// `mode`: -x for an option, whose value cannot be left out; -f for arguments.
std::string fish_values(const Values& values, const std::string& mode) {
  std::string list = join(values.words);
  if (values.folders && !values.files) list += std::string(list.empty() ? "" : " ") + "(__fish_complete_directories)";
  std::string out = values.files ? " -r -F" : " " + mode;
  if (!list.empty()) out += " -a " + quoted(list, true);
  return out;
}

std::string fish_script(const std::vector<CommandEntry>& entries) {
  std::string out = R"(# fish completion for stella, made by `stella completion fish`
function __stella_path
  set -l path
  for word in (commandline -opc)[2..-1]
    switch "$path $word"
)";
  std::string completions = "complete -c stella -f\n";
  for (const CommandEntry& entry : entries) {
    const std::string here =
        "complete -c stella -n " + quoted("test (__stella_path) = " + quoted(entry.path, true), true);
    for (const Subcommand& sub : entry.commands) {
      if (!sub.names.empty()) out += "      case";
      for (const std::string& name : sub.names) out.append(" ").append(quoted(entry.path + " " + name, true));
      if (!sub.names.empty()) out += "\n        set path " + quoted(path_to(entry, sub), true) + "\n";
      completions += here + " -a " + sub.name + " -d " + quoted(sub.description, true) + "\n";
    }
    for (const OptionEntry& option : entry.options) {
      completions += here;
      for (const std::string& name : option.names) {
        completions += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (option.takes_value) completions += fish_values(option.values, "-x");
      completions += " -d " + quoted(option.description, true) + "\n";
    }
    const bool arguments = entry.arguments.files || entry.arguments.folders || !entry.arguments.words.empty();
    if (arguments) completions += here + fish_values(entry.arguments, "-f") + "\n";
  }
  return out + "    end\n  end\n  echo \"$path\"\nend\n" + completions;
}

int print_script(const CLI::App& root, const std::string& shell) {
  std::vector<CommandEntry> entries;
  collect(root, "", entries);
  Output out("-");
  if (shell == "bash") {
    out.write(bash_script(entries));
  } else if (shell == "zsh") {
    out.write(zsh_script(entries));
  } else if (shell == "fish") {
    out.write(fish_script(entries));
  } else {
    throw Failure(kBadInput, shell.empty() ? std::string("no shell; give one of: bash, zsh, fish")
                                           : "no completion for '" + shell + "'; choose one of: bash, zsh, fish");
  }
  out.commit();
  return kOk;
}

}  // namespace

Command add_completion(CLI::App& root) {
  auto shell = std::make_shared<std::string>();
  CLI::App* app = root.add_subcommand("completion", "Print a script that lets a shell complete commands and options");
  app->footer(kFooter);
  add_string(*app, "SHELL", *shell, "Whose script")->type_name("bash|zsh|fish");
  return {app, nullptr, [shell, &root](Session&) { return print_script(root, *shell); }};
}

}  // namespace stella::cli
