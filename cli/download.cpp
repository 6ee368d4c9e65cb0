// `stella download`: everything that embedding needs, fetched ahead.
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"~(Examples:
  stella download NovaSearch/stella_en_400M_v5
  stella download NovaSearch/stella_en_1.5B_v5 --dim all
  stella embed --model "$(stella download NovaSearch/stella_en_400M_v5 --local-dir small)" "text"

Prints the directory that holds the files, laid out as in the repository.)~";

struct DownloadCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  std::optional<std::string> dimensions{};
  std::optional<std::string> local_dir{};

  int run(Session& session) const;
};

/// A copy that appears whole or not at all, and can be interrupted.
void copy_file(const std::filesystem::path& from, const std::filesystem::path& to, Session& session) {
  std::error_code error;
  std::filesystem::create_directories(to.parent_path(), error);
  if (error) {
    throw Failure(kRuntimeFailure, "cannot make the folder '" + to.parent_path().string() + "': " + error.message() +
                                       "; choose another --local-dir");
  }
  if (std::filesystem::equivalent(from, to, error)) return;
  std::ifstream in(from, std::ios::binary);
  Output out(to.string());
  std::vector<char> block(1 << 20);
  while (in) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    out.write({block.data(), static_cast<std::size_t>(in.gcount())});
    session.check();
  }
  if (!in.eof()) throw Failure(kRuntimeFailure, "cannot read '" + from.string() + "'; download it again");
  out.commit();
}

int DownloadCommand::run(Session& session) const {
  if (!common->model)
    throw Failure(kBadInput, std::string("no MODEL; for example `stella download ") + kDefaultModel + "`");
  const bool all = dimensions == "all";
  const auto wanted = dimensions && !all ? parse_dimensions(*dimensions) : std::vector<std::size_t>{};
  Workspace workspace(session, *common, ProgressStyle::lines);
  const auto files = session.run<std::vector<DownloadedFile>>(
      [&](auto token) { workspace.model().download(wanted, all, std::move(token)); });
  std::string directory;
  if (local_dir) {
    directory = *local_dir;
    for (const DownloadedFile& file : files)
      copy_file(file.path, std::filesystem::path(directory) / file.file, session);
  } else {
    directory = workspace.describe().directory.string();
  }
  Output out("-");
  out.write(directory + "\n");
  out.commit();
  return kOk;
}

}  // namespace

Command add_download(CLI::App& root) {
  auto command = std::make_shared<DownloadCommand>();
  CLI::App* app = root.add_subcommand("download", "Fetch a model's files into the cache");
  app->footer(kFooter);
  add_string(*app, "--dim", command->dimensions, "Heads to fetch, or all of them (default: the model's default head)")
      ->type_name("N[,N...]|all");
  add_string(*app, "--local-dir", command->local_dir, "Also copy the files there")->type_name("DIR");
  add_common(*app, *command->common, true);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
