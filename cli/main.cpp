// `stella`: reads the arguments, runs one subcommand, turns its outcome into one line and an exit status.
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/descriptors.hpp"
#include "cli/failure.hpp"
#include "cli/help.hpp"
#include "cli/output.hpp"
#include "cli/session.hpp"
#include "cli/usage.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/system/system_error.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella embed --model demo "What are safetensors?"
  stella embed --task document --input passages.txt --output passages.npy --format npy
  stella similarity --model demo --task s2s "a red car" "a crimson automobile" "a bowl of soup"
  stella download NovaSearch/stella_en_1.5B_v5 --dim all
  stella cache ls

Exit status:
  0    success
  1    run-time failure
  2    bad usage or input
  3    the hub: not found, gated, unreachable, integrity
  130  interrupted

Results go to standard output, everything else to standard error.

Environment:
  HF_HOME, HF_HUB_CACHE           where downloaded models are kept (default ~/.cache/huggingface/hub)
  HF_TOKEN                        for gated repositories
  HF_ENDPOINT                     another hub than https://huggingface.co
  HF_HUB_OFFLINE=1                never use the network
  HF_HUB_DISABLE_PROGRESS_BARS=1  no bars
  HTTPS_PROXY, NO_PROXY           how the hub is reached
  SSL_CERT_FILE, SSL_CERT_DIR     whose certificates are trusted

docs/hub.md has all of them.)";

/// What the system says where there are no descriptors left has no remedy.
std::string with_remedy(std::string line) {
  const bool too_many = line.find(std::generic_category().message(EMFILE)) != std::string::npos;
  if (too_many && line.find("ulimit") == std::string::npos) line += "; raise the limit on open files (ulimit -n)";
  return line;
}

void print_error(const std::string& line) {
  constexpr std::string_view kPrefix = "stella: ";
  const std::size_t most = kMaxLineBytes - kPrefix.size() - 1;
  const std::string text = std::string(kPrefix) + printable_line(with_remedy(line), most) + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
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
  } catch (const std::system_error& error) {
    print_error(error.what());  // of the machine: no descriptor or no thread left, for example
  } catch (const boost::system::system_error& error) {
    print_error(error.what());  // the same, of Asio
  } catch (const std::exception& error) {
    print_error(std::string(error.what()) + "; this is a defect of stella, please report it");
  }
  return kRuntimeFailure;
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

int parse_and_run(CLI::App& root, const std::vector<Command>& commands, Session& session,
                  std::vector<std::string> arguments) {
  try {
    arguments = check_commands(root, std::move(arguments));
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    root.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return print_to_stdout(help_text(root));
  } catch (const CLI::CallForVersion&) {
    return print_to_stdout("stella " STELLA_VERSION "\n");
  } catch (const CLI::ParseError& error) {
    print_error(usage_line(root, error));
    return kBadInput;
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return run_command(command, session, command.common.get());
  }
  return kBadInput;
}

int run(int argc, const char* const* argv) {
  Session session;
  CLI::App root("Stella v5 text embeddings on the CPU: texts in, vectors out.", "stella");
  root.formatter(make_help_formatter(help_width()));
  root.footer(kFooter);
  root.set_version_flag("--version", "stella " STELLA_VERSION, "Print the program's version and exit");
  root.set_help_flag("--help,-h", "Print this help and exit");
  root.require_subcommand(1);
  const std::vector<Command> commands{add_embed(root),    add_search(root), add_similarity(root), add_tokenize(root),
                                      add_download(root), add_models(root), add_info(root),       add_verify(root),
                                      add_cache(root),    add_serve(root),  add_bench(root),      add_completion(root)};
  for (const Command& command : commands) command.app->set_help_flag("--help,-h", "Print this help and exit");
  forbid_flag_values(root);
  try {
    return parse_and_run(root, commands, session, guard_arguments(argc, argv));
  } catch (const Failure& failure) {
    print_error(failure.what());
    return failure.status();
  }
}

}  // namespace
}  // namespace stella::cli

int main(int argc, char** argv) {
  try {
    stella::cli::fill_standard_streams();
    return stella::cli::run(argc, argv);
  } catch (const std::exception& error) {
    stella::cli::print_error(error.what());
    return stella::cli::kRuntimeFailure;
  }
}
