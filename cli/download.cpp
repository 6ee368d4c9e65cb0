// `stella download`: everything that embedding needs, fetched ahead.
#include "cli/blocking.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"
#include "stella/cache.hpp"

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
  stella download                            the default model, with its default head
  stella download NovaSearch/stella_en_1.5B_v5 --dim all
  stella embed --model "$(stella download NovaSearch/stella_en_400M_v5 --local-dir small)" "text"
  stella download NovaSearch/stella_en_400M_v5 --dim all --pack stella.tar
  stella download --unpack stella.tar        on a machine without a network

Prints the directory that holds the files, laid out as in the repository; with --pack the archive's name.)~";

struct DownloadCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  std::optional<std::string> dimensions{};
  std::optional<std::string> local_dir{};
  std::optional<std::string> pack{};
  std::optional<std::string> unpack{};

  int run(Session& session) const;
  int run_unpack(Session& session) const;
  std::string write_archive(ModelSession& model_session) const;
};

void print(const std::string& text) {
  Output out("-");
  out.write(text);
  out.commit();
}

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

/// The archive's name, as it was given.
std::string DownloadCommand::write_archive(ModelSession& model_session) const {
  Screen& screen = model_session.screen();
  run_blocking(model_session.session(), [&](const std::stop_token& stop) {
    const auto show = [&](const Progress& progress) { screen.display().on_check(progress); };
    cache::pack(*model_session.model().options().hub, model_session.model().info().registry_key, common->revision,
                *pack, show, stop);
  });
  return *pack;
}

int DownloadCommand::run_unpack(Session& session) const {
  if (common->model || dimensions || local_dir || pack) {
    throw Failure(kBadInput, "--unpack takes what the archive holds; leave out MODEL, --dim, --local-dir and --pack");
  }
  const HubOptions hub = hub_options(*common);
  Screen screen(*common, hub);
  const auto unpacked = run_blocking(session, [&](const std::stop_token& stop) {
    const auto show = [&](const Progress& progress) { screen.display().on_check(progress); };
    return cache::unpack(hub, *unpack, show, stop);
  });
  screen.display().close();
  std::string text;
  for (const cache::Unpacked& revision : unpacked) text += revision.directory.string() + "\n";
  print(text);
  return kOk;
}

int DownloadCommand::run(Session& session) const {
  if (unpack) return run_unpack(session);
  if (pack && local_dir) throw Failure(kBadInput, "both --pack and --local-dir; give one of them");
  const bool all = dimensions == "all";
  const auto wanted = dimensions && !all ? parse_dimensions(*dimensions) : std::vector<std::size_t>{};
  ModelSession model_session(session, *common, ProgressStyle::lines);
  if (pack && model_session.model().info().local) {
    throw Failure(kBadInput, "--pack is for models of the hub, and '" + model_session.name() +
                                 "' is a directory; copy that as it is");
  }
  const auto files = model_session.fetching([&] {
    return session.run<std::vector<DownloadedFile>>(
        [&](auto token) { model_session.model().download(wanted, all, std::move(token)); });
  });
  std::string result;
  if (pack) {
    result = write_archive(model_session);
  } else if (local_dir) {
    result = *local_dir;
    for (const DownloadedFile& file : files) copy_file(file.path, std::filesystem::path(result) / file.file, session);
  } else {
    result = model_session.describe().directory.string();
  }
  print(result + "\n");
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
  add_string(*app, "--pack", command->pack, "Also write the model's part of the cache to a tar archive")
      ->type_name("TAR");
  add_string(*app, "--unpack", command->unpack, "Put what --pack wrote into the cache; no network is used")
      ->type_name("TAR");
  add_common(*app, *command->common, ModelArgument::positional);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
