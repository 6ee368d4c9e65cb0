// `stella`: reads the arguments, runs one subcommand, turns its outcome into one line and an exit status.
#include "cli/commands.hpp"
#include "cli/failure.hpp"
#include "cli/output.hpp"
#include "cli/session.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella embed --model demo "What are safetensors?"
  stella embed --dim 256,1024 --input texts.txt --output vectors.npy --format npy
  stella similarity --model demo --task s2s "a red car" "a crimson automobile" "a bowl of soup"
  stella download NovaSearch/stella_en_1.5B_v5 --dim all
  stella cache ls

Exit status:
  0 success, 1 run-time failure, 2 bad usage or input, 3 the hub (not found, gated, unreachable,
  integrity), 130 interrupted. Results go to standard output, everything else to standard error.

Environment:
  HF_HOME, HF_HUB_CACHE  where downloaded models are kept (default ~/.cache/huggingface/hub)
  HF_TOKEN               for gated repositories
  HF_ENDPOINT            another hub than https://huggingface.co
  HF_HUB_OFFLINE=1       never use the network
  HF_HUB_DISABLE_PROGRESS_BARS=1
  HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE)";

constexpr std::size_t kHelpColumn = 34;
constexpr std::size_t kHelpWidth = 108;

void print_error(const std::string& line) {
  std::fprintf(stderr, "stella: %s\n", one_line(line).c_str());
}

std::string lower_first(std::string text) {
  const bool word = text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && !(text[1] >= 'A' && text[1] <= 'Z');
  if (word) text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

int usage_error(const CLI::App& root, const CLI::ParseError& error) {
  std::string command = "stella";
  for (auto chosen = root.get_subcommands(); !chosen.empty(); chosen = chosen.front()->get_subcommands()) {
    command += " " + chosen.front()->get_name();
  }
  std::string line = lower_first(unguard(one_line(error.what())));
  std::erase(line, '\x01');
  std::string remedy = "; see `" + command + " --help`";
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    remedy = "; see `" + command + " --help`, and put -- before texts that start with a dash";
  }
  print_error(line + remedy);
  return kBadInput;
}

int run_command(const Command& command, Session& session, const CommonOptions* options) {
  try {
    return command.run(session);
  } catch (const BrokenPipe&) {
    return kOk;  // its reader has what it wanted
  } catch (const Interrupted& interrupted) {
    print_error(interrupted.what());
    return interrupted.status();
  } catch (const Failure& failure) {
    print_error(failure.what());
    return failure.status();
  } catch (const Error& error) {
    print_error(failure_line(error, options));
    return exit_status(error);
  } catch (const std::bad_alloc&) {
    print_error("out of memory; use a smaller model, fewer --threads or a smaller --max-length");
  } catch (const std::exception& error) {
    print_error(std::string(error.what()) + "; this is a defect of stella, please report it");
  }
  return kRuntimeFailure;
}

/// CLI11 breaks no lines: descriptions that run past `kHelpWidth` go on below their own start.
std::string wrap(const std::string& help) {
  std::istringstream lines(help);
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    while (line.size() > kHelpWidth) {
      const auto space = line.rfind(' ', kHelpWidth);
      if (space == std::string::npos || space <= kHelpColumn) break;
      out += line.substr(0, space) + "\n";
      line = std::string(kHelpColumn, ' ') + line.substr(space + 1);
    }
    out += line + "\n";
  }
  return out;
}

int print_to_stdout(const std::string& text) {
  try {
    Output output("-");
    output.write(text);
    output.commit();
    return kOk;
  } catch (const BrokenPipe&) {
    return kOk;
  } catch (const Failure& failure) {
    print_error(failure.what());
    return failure.status();
  }
}

int run(int argc, const char* const* argv) {
  Session session;
  CLI::App root("Stella v5 text embeddings on the CPU: texts in, vectors out.", "stella");
  root.footer(kFooter);
  root.set_version_flag("--version", "stella " STELLA_VERSION, "Print the program's version and exit");
  root.set_help_flag("--help,-h", "Print this help and exit");
  root.require_subcommand(1);
  std::vector<Command> commands{add_embed(root),    add_search(root), add_similarity(root), add_tokenize(root),
                                add_download(root), add_info(root),   add_verify(root),     add_cache(root)};
  for (const Command& command : commands) {
    command.app->set_help_flag("--help,-h", "Print this help and exit");
    command.app->get_formatter()->column_width(kHelpColumn);
  }
  std::vector<std::string> arguments = guard_arguments(argc, argv);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    root.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    const auto chosen = root.get_subcommands();
    return print_to_stdout(wrap(chosen.empty() ? root.help() : chosen.front()->help("stella")));
  } catch (const CLI::CallForVersion&) {
    return print_to_stdout("stella " STELLA_VERSION "\n");
  } catch (const CLI::ParseError& error) {
    return usage_error(root, error);
  } catch (const Failure& failure) {
    print_error(failure.what());
    return failure.status();
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return run_command(command, session, command.common.get());
  }
  return kBadInput;
}

}  // namespace
}  // namespace stella::cli

int main(int argc, char** argv) {
  try {
    return stella::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stella: %s\n", error.what());
    return stella::cli::kRuntimeFailure;
  }
}
