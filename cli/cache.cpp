// `stella cache`: what the hub's cache and the packed weights are, taking things out, checking.
#include "stella/cache.hpp"

#include "cli/blocking.hpp"
#include "cli/cache_text.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"
#include "stella/bundled.hpp"
#include "stella/packed_weights.hpp"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella cache ls
  stella cache rm NovaSearch/stella_en_400M_v5
  stella cache prune --dry-run
  stella cache verify --repair

The cache is the one of Python's huggingface_hub (HF_HOME, HF_HUB_CACHE). In the folder $HF_HOME/stella lie
packed weights: what a model's first load has made of them, which later starts map.)";

constexpr const char* kListFooter = R"(Examples:
  stella cache ls
  stella cache ls --json)";

constexpr const char* kRemoveFooter = R"(Examples:
  stella cache rm NovaSearch/stella_en_400M_v5
  stella cache rm NovaSearch/stella_en_400M_v5 --revision main
  stella cache rm --packed

A model's packed weights go with it; --revision keeps them. Contents that another revision uses stay. What is
just being downloaded or written is not touched. With --packed, MODEL may also be a directory or 'demo'.)";

constexpr const char* kVerifyFooter = R"(Examples:
  stella cache verify
  stella cache verify NovaSearch/stella_en_400M_v5 --repair

Hashes every file and compares with the hash that the hub announced for it, and packed weights with the checksums
that were written with them. With --repair what is damaged is removed and fetched again; packed weights are only
removed, and made again at the next load. Exit status 3 where something is wrong and was not repaired.)";

constexpr const char* kPruneFooter = R"(Examples:
  stella cache prune --dry-run
  stella cache prune

Removes what is of no more use: downloads that nobody goes on with, revisions that no branch or tag names any more
while one names another, contents that no revision uses, what killed processes have left, and packed weights of
models that are gone. A model of which a file is just being downloaded stays as it is.)";

struct CacheCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  std::string model{};
  std::optional<std::string> revision{};
  bool json = false;
  bool packed_only = false;
  bool repair = false;
  bool dry_run = false;
  CLI::App* list = nullptr;
  CLI::App* remove = nullptr;
  CLI::App* verify = nullptr;
  CLI::App* prune = nullptr;

  int run(Session& session) const;
  std::string packed_source() const;
  int run_list(Session& session, const HubOptions& hub, Screen& screen) const;
  int run_remove(Session& session, const HubOptions& hub, Screen& screen) const;
  int run_verify(Session& session, const HubOptions& hub, Screen& screen) const;
  int run_prune(Session& session, const HubOptions& hub, Screen& screen) const;
};

void print(const std::string& text) {
  Output out("-");
  out.write(text);
  out.commit();
}

/// A folder of packed weights that cannot be read hides nothing of the hub's cache.
packed_weights::Contents list_packed(const HubOptions& hub, std::string& failure) {
  const auto folder = packed_weights::default_directory(hub);
  try {
    return packed_weights::list(folder);
  } catch (const Error& error) {
    failure = error.what();
    return {folder, 0, {}};
  }
}

int CacheCommand::run_list(Session& session, const HubOptions& hub, Screen& screen) const {
  std::string failure;
  const auto [contents, packed] = run_blocking(
      session, [&](const std::stop_token&) { return std::pair(cache::list(hub), list_packed(hub, failure)); });
  if (!failure.empty()) screen.warn(failure);
  if (json) {
    print(cache_json(contents, packed));
    return kOk;
  }
  print(cache_text(contents, packed));
  return kOk;
}

/// What was done in both folders.
template <class Hub, class Packed>
struct Both {
  Hub hub{};
  Packed packed{};
};

/// Runs `on_hub` and `on_packed`. A model that the hub's cache does not have, a directory for example, is an error only
/// where `count(packed)` says that there are no packed weights of it either.
template <class OnHub, class OnPacked, class Count>
auto in_both(OnHub on_hub, OnPacked on_packed, Count count) {
  Both<decltype(on_hub()), decltype(on_packed())> both;
  std::exception_ptr unknown;
  try {
    both.hub = on_hub();
  } catch (const Error& error) {
    if (error.errc() != Errc::invalid_argument) throw;
    unknown = std::current_exception();
  }
  both.packed = on_packed();
  if (unknown && count(both.packed) == 0) std::rethrow_exception(unknown);
  return both;
}

std::string CacheCommand::packed_source() const {
  return model.empty() ? model : resolve_model(model);
}

int CacheCommand::run_remove(Session& session, const HubOptions& hub, Screen& screen) const {
  if (model.empty() && !packed_only) throw Failure(kBadInput, "no MODEL to remove; see `stella cache rm --help`");
  if (packed_only && revision) throw Failure(kBadInput, "both --packed and --revision; give one of them");
  const auto folder = packed_weights::default_directory(hub);
  const auto removed = run_blocking(session, [&](const std::stop_token&) {
    return in_both(
        [&] { return packed_only ? cache::Removed() : cache::remove(hub, model, revision); },
        [&] { return revision ? packed_weights::Removed() : packed_weights::remove(folder, packed_source()); },
        [](const packed_weights::Removed& packed) { return packed.files + packed.busy; });
  });
  if (removed.hub.busy != 0) {
    screen.warn(count(removed.hub.busy, "file") + " kept, because a download holds it at this moment");
  }
  if (removed.hub.used != 0) {
    screen.warn(count(removed.hub.used, "file") + " kept, because links of other models in the cache lead there");
  }
  if (!removed.hub.link_target.empty()) {
    screen.warn("only a link was removed; what it led to is still in " + removed.hub.link_target.string());
  }
  if (removed.packed.busy != 0) {
    screen.warn(count(removed.packed.busy, "file") + " kept, because packed weights are just being written to it");
  }
  const std::string packed = count(removed.packed.files, "file") + " of packed weights";
  std::string text = packed;
  if (!removed.hub.link_target.empty()) {
    text = "1 link";
    if (removed.packed.files != 0) text += ", " + packed;
  } else if (!packed_only) {
    text = count(removed.hub.revisions, "revision") + " and " + count(removed.hub.blobs, "blob");
    if (removed.packed.files != 0) text += ", " + packed;
  }
  print("removed " + text + ", " + format_bytes(removed.hub.bytes + removed.packed.bytes) + "\n");
  return kOk;
}

int CacheCommand::run_verify(Session& session, const HubOptions& hub, Screen& screen) const {
  const auto [report, packed] = run_blocking(session, [&](const std::stop_token& stop) {
    const auto show = [&](const Progress& progress) { screen.display().on_file(progress); };
    const auto folder = packed_weights::default_directory(hub);
    return in_both([&] { return cache::verify(hub, model, repair, show, stop); },
                   [&] { return packed_weights::verify(folder, packed_source(), repair, show, stop); },
                   [](const packed_weights::Report& of_packed) { return of_packed.files; });
  });
  screen.display().close();
  std::string text;
  std::size_t left = 0;
  for (const cache::Problem& problem : report.problems) {
    text += problem_text(problem, repair);
    left += problem.repaired ? 0 : 1;
  }
  for (const packed_weights::Problem& problem : packed.problems) {
    text += problem_text(problem);
    left += problem.removed ? 0 : 1;
  }
  const std::size_t problems = report.problems.size() + packed.problems.size();
  text += "checked " + count(report.blobs, "blob");
  if (packed.files != 0) text += " and " + count(packed.files, "file") + " of packed weights";
  text += ", " + format_bytes(report.bytes + packed.bytes) + ": ";
  text += problems == 0 ? "all right" : count(problems, "problem");
  if (problems != 0) text += ", " + std::to_string(problems - left) + " repaired";
  if (report.unhashed != 0) text += "; " + count(report.unhashed, "file") + " stored without a hash not checked";
  print(text + "\n");
  if (left == 0) return kOk;
  throw Failure(kHubFailure, count(left, "problem") + " left in the cache " + hub.cache_dir.string() +
                                 (repair ? "; see above, and try again when the hub can be reached"
                                         : "; run `stella cache verify --repair`"));
}

/// Removes packed weights that no load will use, or says only what that is. Sources are repositories or full paths of
/// directories, and only of repositories it is known which blobs there are.
packed_weights::Removed prune_packed(const HubOptions& hub, const std::vector<cache::Waste>& gone, bool dry_run) {
  std::set<std::string> repositories;
  std::set<std::string> blobs;
  bool all_read = true;
  for (const cache::Repository& repository : cache::list(hub).repositories) {
    repositories.insert(repository.repo);
    for (const cache::Blob& blob : repository.blobs) blobs.insert(blob.hash);
    all_read = all_read && repository.failure.empty();
  }
  for (const cache::Waste& waste : gone) {  // of a dry run: another repository may have the blob, too, which is rare
    if (waste.kind == cache::Waste::Kind::blob) blobs.erase(waste.name.substr(waste.name.rfind('/') + 1));
  }
  const auto has_source = [&](const std::string& source) {
    std::error_code error;
    const bool local = source.starts_with('/');
    return local ? std::filesystem::exists(source, error) || error : repositories.contains(source);
  };
  const auto has_blob = [&](const std::string& hash) { return !all_read || blobs.contains(hash); };
  return packed_weights::prune(packed_weights::default_directory(hub), has_source, has_blob, dry_run);
}

int CacheCommand::run_prune(Session& session, const HubOptions& hub, Screen& screen) const {
  const auto [pruned, packed] = run_blocking(session, [&](const std::stop_token&) {
    auto of_hub = cache::prune(hub, dry_run);
    auto of_packed = prune_packed(hub, of_hub.waste, dry_run);
    return std::pair(std::move(of_hub), of_packed);
  });
  for (const std::string& failure : pruned.failures) screen.warn(failure);
  if (pruned.busy != 0) {
    screen.warn(count(pruned.busy, "model") + " left as it is, because a file of it is just being downloaded");
  }
  std::string text;
  for (const cache::Waste& waste : pruned.waste) text += waste_text(waste);
  if (packed.files != 0) {
    text += "packed weights  " + count(packed.files, "file") + "  " + format_bytes(packed.bytes) + "\n";
  }
  if (text.empty()) text = "nothing to prune: ";
  print(text + (dry_run ? "would free " : "freed ") + format_bytes(pruned.bytes + packed.bytes) + "\n");
  if (pruned.failures.empty()) return kOk;
  throw Failure(kRuntimeFailure, count(pruned.failures.size(), "model") + " not pruned; see above");
}

int CacheCommand::run(Session& session) const {
  const HubOptions hub = hub_options(*common);
  Screen screen(*common, hub);
  if (list->parsed()) return run_list(session, hub, screen);
  if (remove->parsed()) return run_remove(session, hub, screen);
  if (prune->parsed()) return run_prune(session, hub, screen);
  return run_verify(session, hub, screen);
}

CLI::App* add_part(CLI::App& app, const CacheCommand& command, const std::string& name, const std::string& what,
                   const char* footer) {
  CLI::App* part = app.add_subcommand(name, what);
  part->set_help_flag("--help,-h", "Print this help and exit");
  part->footer(footer);
  add_program(*part, *command.common);
  return part;
}

}  // namespace

Command add_cache(CLI::App& root) {
  auto command = std::make_shared<CacheCommand>();
  CLI::App* app =
      root.add_subcommand("cache", "List, check and clean the cache of downloaded models and packed weights");
  app->footer(kFooter);
  app->require_subcommand(1);
  command->list = add_part(*app, *command, "ls", "List models, revisions, packed weights and sizes", kListFooter);
  command->list->alias("list");
  command->list->add_flag("--json", command->json, "Print JSON, with every file");
  command->remove =
      add_part(*app, *command, "rm", "Remove a model, one revision of it, or packed weights", kRemoveFooter);
  add_string(*command->remove, "MODEL", command->model, "Repository id")->type_name("ID");
  add_string(*command->remove, "--revision", command->revision, "Only this branch, tag or commit")->type_name("REV");
  command->remove->add_flag("--packed", command->packed_only, "Only packed weights: MODEL's, or all without MODEL");
  command->verify = add_part(*app, *command, "verify", "Hash every file again", kVerifyFooter);
  add_string(*command->verify, "MODEL", command->model, "Repository id (default: all)")->type_name("ID");
  command->verify->add_flag("--repair", command->repair, "Fetch or pack again what is damaged");
  command->prune = add_part(*app, *command, "prune", "Remove what is of no more use", kPruneFooter);
  command->prune->add_flag("--dry-run", command->dry_run, "Say only what would be removed");
  return {app, nullptr, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
