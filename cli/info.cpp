// `stella info`: what this machine and a model are.
#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella info
  stella info demo
  stella info NovaSearch/stella_en_1.5B_v5 --json

Without MODEL: the program, the processor, the kernels and where the cache lies. With MODEL: its sizes, heads, prompts,
limits and files too, and the precision that was chosen for it. For a model of the hub, its small configuration files are
fetched where they are not in the cache.)";

struct InfoCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  bool json = false;

  int run(Session& session) const;
};

struct Processor {
  std::string name = "unknown";
  std::string features{};  ///< Those that matter to the kernels.
};

Processor read_processor() {
  Processor processor;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && processor.features.empty();) {
    const auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    if (line.starts_with("model name")) processor.name = line.substr(colon + 2);
    if (!line.starts_with("flags")) continue;
    const std::string flags = line.substr(colon + 1) + " ";
    for (const char* flag : {"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
                             "avx512_fp16", "avx_vnni", "amx_bf16", "amx_int8"}) {
      if (flags.find(std::string(" ") + flag + " ") != std::string::npos) {
        processor.features += (processor.features.empty() ? "" : " ") + std::string(flag);
      }
    }
  }
  return processor;
}

/// A file that the model needs, as far as it is here.
struct ModelFile {
  std::string name;
  std::optional<std::uint64_t> size{};  ///< Nothing: not in the cache.
};

/// What lies in `directory`, and the weight files that are missing from it.
std::vector<ModelFile> list_files(const ModelDescription& description) {
  std::vector<ModelFile> files;
  std::error_code error;
  bool has_weights = false;
  const auto& directory = description.directory;
  const bool is_there = std::filesystem::is_directory(directory, error);
  for (const std::string& name : is_there ? names_below(directory) : std::vector<std::string>()) {
    const auto size = std::filesystem::file_size(directory / name, error);
    if (error || !std::filesystem::is_regular_file(directory / name, error)) continue;
    const bool encoder = name.find('/') == std::string::npos && name.ends_with(".safetensors");
    has_weights = has_weights || encoder;
    files.push_back({name, size});
  }
  if (!has_weights) files.push_back({"model.safetensors", std::nullopt});
  for (const std::size_t dimension : description.dimensions) {
    const std::string name = "2_Dense_" + std::to_string(dimension) + "/model.safetensors";
    const bool present = std::any_of(files.begin(), files.end(), [&](const ModelFile& f) { return f.name == name; });
    // A checkpoint with a single head may keep it under another name (modules.json says which).
    if (!present && description.dimensions.size() > 1) files.push_back({name, std::nullopt});
  }
  std::sort(files.begin(), files.end(), [](const ModelFile& a, const ModelFile& b) { return a.name < b.name; });
  return files;
}

/// Lines of "name: value" and the same as members of a JSON object.
class Report {
 public:
  void add(const std::string& name, const std::string& value) { add_raw(name, value, format::json_string(value)); }
  void add(const std::string& name, std::size_t value) { add_raw(name, std::to_string(value), std::to_string(value)); }
  void add(const std::string& name, const std::vector<std::size_t>& values) {
    add_raw(name, values.empty() ? "none" : join(values), "[" + join(values, ",") + "]");
  }
  /// A member whose lines stand for themselves.
  void add_raw(const std::string& name, const std::string& text, const std::string& json) {
    add_line(name + ":" + std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') + text);
    add_json(name, json);
  }
  void add_json(std::string name, const std::string& json) {
    std::replace(name.begin(), name.end(), ' ', '_');
    json_.key(name).raw(json);
  }
  /// Values come from checkpoints too, and go to a terminal.
  void add_line(const std::string& line) { text_ += printable_line(line) + "\n"; }
  const std::string& text() const { return text_; }
  std::string json() { return json_.end_object().take(); }

 private:
  std::string text_{};
  format::JsonText json_ = std::move(format::JsonText().begin_object());
};

void report_precisions(Report& report, ModelSession& model_session) {
  std::string text;
  format::JsonText array;
  array.begin_array();
  for (const Precision precision : model_session.runtime().precisions()) {
    text += std::string(text.empty() ? "" : ", ") + to_string(precision);
    array.value(to_string(precision));
  }
  report.add_raw("precisions", text, array.end_array().take());
}

/// What Precision::automatic stands for is known of a model, not of a machine.
constexpr const char* kChosenLater = "chosen for a model at its first load";

void report_program(Report& report, ModelSession& model_session) {
  const Processor processor = read_processor();
  report.add("version", std::string(STELLA_VERSION));
  report.add("processor", processor.name);
  report.add("features", processor.features);
  report.add("kernels", model_session.runtime().kernels_name());
  report_precisions(report, model_session);
  report.add("threads", model_session.runtime().compute_threads());
  const HubOptions hub = *model_session.model().options().hub;
  report.add("hub", hub.endpoint);
  report.add("cache", hub.cache_dir.string());
  report.add_raw("offline", hub.offline ? "yes" : "no", hub.offline ? "true" : "false");
  report.add_raw("token", hub.token.empty() ? "none" : "set", hub.token.empty() ? "false" : "true");
}

void report_model(Report& report, ModelSession& model_session) {
  const ModelDescription model = model_session.describe();
  report.add("model", model_session.name());
  report.add("directory", model.directory.string());
  report.add("type", model.model_type);
  report.add("hidden", model.hidden);
  report.add("layers", model.layers);
  report.add("attention heads", model.heads);
  report.add("kv heads", model.kv_heads);
  report.add("intermediate", model.intermediate);
  report.add("vocabulary", model.vocab_size);
  report.add("dimensions", model.dimensions);
  report.add("default dimension", model.default_dimension);
  report.add("max length", model.default_max_length);
  report.add("max length limit", model.max_length_limit);
  report.add("default task", model.default_task);
  report.add("precision", model.precision ? std::string(to_string(*model.precision)) : std::string(kChosenLater));
  report.add("precision because", model.precision_reason.empty() ? "not known yet" : model.precision_reason);
  format::JsonText prompts;
  prompts.begin_object();
  report.add_line("prompts:");
  for (const auto& [name, prompt] : model.prompts) {
    report.add_line("  " + name + ": " + format::json_string(prompt));
    prompts.member(name, prompt);
  }
  report.add_json("prompts", prompts.end_object().take());

  format::JsonText files;
  files.begin_array();
  std::uint64_t total = 0;
  report.add_line("files:");
  for (const ModelFile& file : list_files(model)) {
    report.add_line("  " + file.name + ": " + (file.size ? format_bytes(*file.size) : "not here yet"));
    files.begin_object().member("file", file.name).member("size", file.size).end_object();
    total += file.size.value_or(0);
  }
  report.add_json("files", files.end_array().take());
  report.add_raw("on disk", format_bytes(total), std::to_string(total));
}

int InfoCommand::run(Session& session) const {
  ModelSession model_session(session, *common);
  Report report;
  report_program(report, model_session);
  if (common->model) {
    report_model(report, model_session);
  } else {
    const Precision asked = model_session.model().options().precision;
    report.add("precision", std::string(asked == Precision::automatic ? kChosenLater : to_string(asked)));
  }
  Output out("-");
  out.write(json ? report.json() + "\n" : report.text());
  out.commit();
  return kOk;
}

}  // namespace

Command add_info(CLI::App& root) {
  auto command = std::make_shared<InfoCommand>();
  CLI::App* app = root.add_subcommand("info", "Describe the program and this machine, or a model");
  app->footer(kFooter);
  app->add_flag("--json", command->json, "Print JSON");
  add_common(*app, *command->common, ModelArgument::described);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
