// `stella models`: the models known by name, and what of them is on this machine.
#include "base/text.hpp"
#include "cli/blocking.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"
#include "format/json_text.hpp"
#include "stella/cache.hpp"
#include "stella/packed_weights.hpp"
#include "stella/registry.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

using format::JsonText;

constexpr const char* kFooter = R"(Examples:
  stella models
  stella models --json
  stella info NovaSearch/stella_en_400M_v5     everything about one

Lists the models that are known by name, the bundled one, and others that the cache holds. Any other repository or directory
with a checkpoint of the same kinds (model_type new, qwen2 or bert) works too. Nothing is fetched.)";

struct Row {
  std::string name{};
  std::optional<ModelInfo> known{};  ///< Of the registry.
  std::optional<cache::Repository> cached{};
  std::vector<packed_weights::File> packed{};
  std::optional<ModelDescription> bundled{};
};

struct ModelsCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  bool json = false;

  int run(Session& session) const;
};

std::vector<Row> hub_rows(const cache::Contents& contents, const packed_weights::Contents& packed) {
  std::vector<Row> rows;
  for (const std::string& key : Registry::builtin().keys()) rows.push_back({key, Registry::builtin().find(key)});
  const auto named = [&rows](const std::string& name) {
    return std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; });
  };
  for (const cache::Repository& repository : contents.repositories) {
    if (named(repository.repo) == rows.end()) rows.push_back({repository.repo});
    named(repository.repo)->cached = repository;
  }
  for (const packed_weights::File& file : packed.files) {
    const auto row = named(file.source);
    if (row != rows.end() && file.readable && file.precision) row->packed.push_back(file);
  }
  // The default first, then what is here.
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    const auto rank = [](const Row& row) { return row.name == kDefaultModel ? 0 : row.cached ? 1 : 2; };
    return rank(a) < rank(b);
  });
  return rows;
}

Row bundled_row(Session& session) {
  ModelOptions options;
  options.runtime = std::make_shared<Runtime>(RuntimeOptions{.compute_threads = 1});
  StellaEmbeddingModel model("demo", std::move(options));
  Row row{"demo"};
  row.bundled = session.run<ModelDescription>([&](auto token) { model.describe(std::move(token)); });
  return row;
}

std::string line(const std::string& name, const std::string& value) {
  return "  " + name + ":" + std::string(name.size() < 11 ? 11 - name.size() : 1, ' ') + printable_line(value) + "\n";
}

std::string dimensions_text(const std::vector<std::size_t>& dimensions, std::size_t by_default) {
  const bool choice = dimensions.size() > 1;
  return join(dimensions) + (choice ? "; " + std::to_string(by_default) + " unless --dim says another" : "");
}

std::string cached_text(const Row& row) {
  if (!row.cached) return "nothing; `stella download " + row.name + "` fetches it";
  std::string text = format_bytes(row.cached->bytes);
  for (const cache::Revision& revision : row.cached->revisions) {
    text += ", ";
    for (const std::string& ref : revision.refs) text += ref + " ";
    text += (revision.refs.empty() ? "" : "at ") + revision.commit.substr(0, 12);
  }
  return text + (row.cached->unfinished.empty() ? "" : ", and unfinished downloads");
}

std::string row_text(const Row& row) {
  std::string text = printable_line(row.name) + (row.name == kDefaultModel ? " (the default)\n" : "\n");
  if (row.bundled) {
    text += line("dimensions", dimensions_text(row.bundled->dimensions, row.bundled->default_dimension));
    return text + line("bundled", row.bundled->directory.string());
  }
  if (row.known) {
    text += line("dimensions", dimensions_text(row.known->dimensions, row.known->default_dimension));
    text +=
        line("memory", "about " + format_bytes(std::uint64_t{row.known->estimated_memory_mb} * 1'000'000) + " in f32");
  }
  text += line("cached", cached_text(row));
  for (const packed_weights::File& file : row.packed) {
    text += line("packed", std::string(to_string(*file.precision)) + ", " + format_bytes(file.bytes));
  }
  return text;
}

void put_row(JsonText& json, const Row& row) {
  json.begin_object().member("model", row.name).member("registered", row.known.has_value());
  json.member("default", row.name == kDefaultModel).member("bundled", row.bundled.has_value());
  if (row.known) {
    json.member("dimensions", row.known->dimensions).member("default_dimension", row.known->default_dimension);
    json.member("memory", row.known->estimated_memory_mb * 1'000'000);
  }
  if (row.bundled) {
    json.member("dimensions", row.bundled->dimensions).member("default_dimension", row.bundled->default_dimension);
    json.member("directory", row.bundled->directory.string());
  }
  json.key("cached");
  if (row.cached) {
    json.begin_object().member("size", row.cached->bytes);
    json.list("revisions", row.cached->revisions, [](JsonText& to, const cache::Revision& found) {
      to.begin_object().member("commit", found.commit).member("refs", found.refs).end_object();
    });
    json.end_object();
  } else {
    json.raw("null");
  }
  json.list("packed_weights", row.packed, [](JsonText& to, const packed_weights::File& file) {
    to.begin_object().member("precision", to_string(*file.precision)).member("size", file.bytes).end_object();
  });
  json.end_object();
}

int ModelsCommand::run(Session& session) const {
  const HubOptions hub = hub_options(*common);
  const Screen screen(*common, hub);
  const auto [contents, packed] = run_blocking(session, [&](const std::stop_token&) {
    return std::pair(cache::list(hub), packed_weights::list(packed_weights::default_directory(hub)));
  });
  std::vector<Row> rows = hub_rows(contents, packed);
  rows.push_back(bundled_row(session));
  std::string text;
  if (json) {
    text = JsonText().begin_object().list("models", rows, put_row).end_object().take() + "\n";
  } else {
    for (const Row& row : rows) text += (text.empty() ? "" : "\n") + row_text(row);
  }
  Output out("-");
  out.write(text);
  out.commit();
  return kOk;
}

}  // namespace

Command add_models(CLI::App& root) {
  auto command = std::make_shared<ModelsCommand>();
  CLI::App* app = root.add_subcommand("models", "List the models known by name, and what of them is on this machine");
  app->footer(kFooter);
  app->add_flag("--json", command->json, "Print JSON");
  add_program(*app, *command->common);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
