// `stella cache`: what the hub's cache holds, taking things out, checking it.
#include "stella/cache.hpp"

#include "cli/blocking.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella cache ls
  stella cache rm NovaSearch/stella_en_400M_v5
  stella cache verify --repair

The cache is the one of Python's huggingface_hub (HF_HOME, HF_HUB_CACHE).)";

constexpr const char* kListFooter = R"(Examples:
  stella cache ls
  stella cache ls --json)";

constexpr const char* kRemoveFooter = R"(Examples:
  stella cache rm NovaSearch/stella_en_400M_v5
  stella cache rm NovaSearch/stella_en_400M_v5 --revision main

Contents that another revision uses stay. What is just being downloaded is not touched.)";

constexpr const char* kVerifyFooter = R"(Examples:
  stella cache verify
  stella cache verify NovaSearch/stella_en_400M_v5 --repair

Hashes every file and compares with the hash that the hub announced for it. With --repair what is damaged is
removed and fetched again. Exit status 3 where something is wrong and was not repaired.)";

struct CacheCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  std::string model{};
  std::optional<std::string> revision{};
  bool json = false;
  bool repair = false;
  CLI::App* list = nullptr;
  CLI::App* remove = nullptr;
  CLI::App* verify = nullptr;

  int run(Session& session) const;
  int run_list(Session& session, const HubOptions& hub) const;
  int run_remove(Session& session, const HubOptions& hub, Screen& screen) const;
  int run_verify(Session& session, const HubOptions& hub, Screen& screen) const;
};

void print(const std::string& text) {
  Output out("-");
  out.write(text);
  out.commit();
}

std::string count(std::size_t number, const std::string& singular) {
  return std::to_string(number) + " " + singular + (number == 1 ? "" : "s");
}

std::uint64_t size_of(const cache::Revision& revision) {
  std::uint64_t bytes = 0;
  for (const cache::File& file : revision.files) bytes += file.size.value_or(0);
  return bytes;
}

/// `[a,b]` of whatever `write` makes of each item.
template <class Items, class Write>
std::string json_array(const Items& items, Write write) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() > 1 ? "," : "") + write(item);
  return out + "]";
}

std::string revision_json(const cache::Revision& revision) {
  const auto file_json = [](const cache::File& file) {
    return "{\"file\":" + json_string(file.path) + ",\"size\":" + (file.size ? std::to_string(*file.size) : "null") +
           ",\"blob\":" + (file.blob.empty() ? "null" : json_string(file.blob)) + "}";
  };
  return "{\"commit\":" + json_string(revision.commit) +
         ",\"refs\":" + json_array(revision.refs, [](const std::string& ref) { return json_string(ref); }) +
         ",\"size\":" + std::to_string(size_of(revision)) + ",\"files\":" + json_array(revision.files, file_json) + "}";
}

std::string repository_json(const cache::Repository& repository) {
  const auto blob_json = [](const cache::Blob& blob) {
    return "{\"hash\":" + json_string(blob.hash) + ",\"size\":" + std::to_string(blob.size) +
           ",\"referenced\":" + (blob.referenced ? "true" : "false") + "}";
  };
  const auto unfinished_json = [](const cache::Unfinished& file) {
    return "{\"name\":" + json_string(file.name) + ",\"size\":" + std::to_string(file.bytes) + "}";
  };
  return "{\"repo\":" + json_string(repository.repo) + ",\"folder\":" + json_string(repository.folder.string()) +
         ",\"size\":" + std::to_string(repository.bytes) +
         ",\"revisions\":" + json_array(repository.revisions, revision_json) +
         ",\"blobs\":" + json_array(repository.blobs, blob_json) +
         ",\"unfinished\":" + json_array(repository.unfinished, unfinished_json) + "}";
}

std::string repository_text(const cache::Repository& repository) {
  std::string out = repository.repo + ": " + format_bytes(repository.bytes) + "\n";
  for (const cache::Revision& revision : repository.revisions) {
    out +=
        "  " + revision.commit + "  " + count(revision.files.size(), "file") + ", " + format_bytes(size_of(revision));
    for (const std::string& ref : revision.refs) out += "  " + ref;
    const auto missing =
        std::count_if(revision.files.begin(), revision.files.end(), [](const auto& f) { return !f.size; });
    if (missing != 0) out += "  (" + count(static_cast<std::size_t>(missing), "link") + " to nowhere)";
    out += "\n";
  }
  const auto unused =
      std::count_if(repository.blobs.begin(), repository.blobs.end(), [](const auto& b) { return !b.referenced; });
  if (unused != 0) out += "  " + count(static_cast<std::size_t>(unused), "blob") + " that no revision uses\n";
  std::uint64_t unfinished = 0;
  for (const cache::Unfinished& file : repository.unfinished) unfinished += file.bytes;
  if (!repository.unfinished.empty()) out += "  unfinished downloads: " + format_bytes(unfinished) + "\n";
  return out;
}

int CacheCommand::run_list(Session& session, const HubOptions& hub) const {
  const auto contents = run_blocking(session, [&](const std::stop_token&) { return cache::list(hub); });
  if (json) {
    print("{\"cache\":" + json_string(contents.directory.string()) + ",\"size\":" + std::to_string(contents.bytes) +
          ",\"repositories\":" + json_array(contents.repositories, repository_json) + "}\n");
    return kOk;
  }
  std::string text;
  for (const cache::Repository& repository : contents.repositories) text += repository_text(repository);
  print(text + format_bytes(contents.bytes) + " in " + contents.directory.string() + "\n");
  return kOk;
}

int CacheCommand::run_remove(Session& session, const HubOptions& hub, Screen& screen) const {
  const auto removed =
      run_blocking(session, [&](const std::stop_token&) { return cache::remove(hub, model, revision); });
  if (removed.busy != 0) {
    screen.warn(count(removed.busy, "file") + " kept, because a download holds it at this moment");
  }
  print("removed " + count(removed.revisions, "revision") + " and " + count(removed.blobs, "blob") + ", " +
        format_bytes(removed.bytes) + "\n");
  return kOk;
}

std::string problem_text(const cache::Problem& problem, bool repair) {
  std::string out = problem.kind == cache::Problem::Kind::damaged ? "damaged: " : "link to nowhere: ";
  out += problem.repo;
  for (const auto& user : problem.users) out += " " + user.file + " (" + user.commit.substr(0, 12) + ")";
  if (!problem.blob.empty()) out += " blob " + problem.blob;
  if (problem.repaired) return out + ": repaired\n";
  if (!problem.failure.empty())
    return out + ": " + std::string(repair ? "not repaired: " : "") + one_line(problem.failure) + "\n";
  return out + "\n";
}

int CacheCommand::run_verify(Session& session, const HubOptions& hub, Screen& screen) const {
  const auto report = run_blocking(session, [&](const std::stop_token& stop) {
    const auto show = [&](const Progress& progress) { screen.display().on_file(progress); };
    return cache::verify(hub, model, repair, show, stop);
  });
  screen.display().close();
  std::string text;
  std::size_t left = 0;
  for (const cache::Problem& problem : report.problems) {
    text += problem_text(problem, repair);
    left += problem.repaired ? 0 : 1;
  }
  text += "checked " + count(report.blobs, "blob") + ", " + format_bytes(report.bytes) + ": ";
  text += report.problems.empty() ? "all right" : count(report.problems.size(), "problem");
  if (!report.problems.empty()) text += ", " + std::to_string(report.problems.size() - left) + " repaired";
  if (report.unhashed != 0) text += "; " + count(report.unhashed, "file") + " stored without a hash not checked";
  print(text + "\n");
  if (left == 0) return kOk;
  throw Failure(kHubFailure, count(left, "problem") + " left in the cache " + hub.cache_dir.string() +
                                 (repair ? "; see above, and try again when the hub can be reached"
                                         : "; run `stella cache verify --repair`"));
}

int CacheCommand::run(Session& session) const {
  const HubOptions hub = hub_options(*common);
  Screen screen(*common, hub);
  if (list->parsed()) return run_list(session, hub);
  if (remove->parsed()) return run_remove(session, hub, screen);
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
  CLI::App* app = root.add_subcommand("cache", "List, check and clean the cache of downloaded models");
  app->footer(kFooter);
  app->require_subcommand(1);
  command->list = add_part(*app, *command, "ls", "List models, revisions and sizes", kListFooter);
  command->list->add_flag("--json", command->json, "Print JSON, with every file");
  command->remove = add_part(*app, *command, "rm", "Remove a model, or one revision of it", kRemoveFooter);
  add_string(*command->remove, "MODEL", command->model, "Repository id")->type_name("ID")->required();
  add_string(*command->remove, "--revision", command->revision, "Only this branch, tag or commit")->type_name("REV");
  command->verify = add_part(*app, *command, "verify", "Hash every file again", kVerifyFooter);
  add_string(*command->verify, "MODEL", command->model, "Repository id (default: all)")->type_name("ID");
  command->verify->add_flag("--repair", command->repair, "Fetch again what is damaged");
  return {app, nullptr, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
