#include "cli/text_options.hpp"

#include <utility>

#include <CLI/CLI.hpp>

namespace stella::cli {

void add_texts(CLI::App& app, TextOptions& options) {
  app.add_option(
         "TEXT",
         [&options](const CLI::results_t& results) {
           for (const std::string& text : results) options.texts.push_back(unguard(text));
           return true;
         },
         "Texts; put -- before them where one starts with a dash")
      ->expected(0, CLI::detail::expected_max_vector_size)
      ->allow_extra_args()
      ->take_all()
      ->type_name("");
  add_string(app, "--input", options.input, "Read the texts from a file, - for standard input")->type_name("FILE|-");
  add_string(app, "--input-format", options.input_format,
             "lines: a text a line (default). jsonl: a JSON string or object a line")
      ->type_name("lines|jsonl");
  add_string(app, "--field", options.field, "Field of the objects that holds the text (default text)")
      ->type_name("NAME");
}

std::unique_ptr<TextSource> open_texts(const TextOptions& options, Session& session) {
  if (!options.input) {
    if (options.input_format) {
      throw Failure(kBadInput,
                    "--input-format describes the file of --input; give --input FILE, or - for standard input");
    }
    if (options.texts.empty()) {
      throw Failure(kBadInput, "no text; give TEXT arguments or --input FILE (- for standard input)");
    }
    return make_argument_source(options.texts);
  }
  if (!options.texts.empty()) throw Failure(kBadInput, "both TEXT arguments and --input; give one of them");
  const std::string format = options.input_format.value_or("lines");
  if (format != "lines" && format != "jsonl") {
    throw Failure(kBadInput, "unknown --input-format '" + format + "'; choose one of: lines, jsonl");
  }
  return make_file_source(*options.input, format == "lines" ? InputFormat::lines : InputFormat::jsonl, options.field,
                          [&session](int descriptor, short events) { session.wait_for(descriptor, events); });
}

void add_max_length(CLI::App& app, PromptOptions& options) {
  add_count(app, "--max-length", options.max_length,
            "Most tokens of a text, with prompt and special tokens (default: the model's own, often 512)");
}

void add_prompt(CLI::App& app, PromptOptions& options) {
  add_string(app, "--task", options.task,
             "Prompt by name: s2p for search queries (the default), s2s for likeness between sentences, document or "
             "none for texts to be found")
      ->type_name("NAME");
  add_string(app, "--prompt", options.prompt, "Literal text put before each text, in place of --task's");
}

void check_prompt(const PromptOptions& options) {
  if (options.task && options.prompt) throw Failure(kBadInput, "both --task and --prompt; give one of them");
}

std::string effective_task(const PromptOptions& options, const ModelDescription& description, Workspace& workspace) {
  if (!options.task || options.task->empty()) return description.default_task;
  const std::string& task = *options.task;
  if (description.prompts.contains(task) || workspace.model().supports_task(task)) return task;
  std::string known;
  for (const auto& [name, prompt] : description.prompts) known += name + ", ";
  workspace.warn("unknown task '" + task + "', using '" + description.default_task + "'; known: " + known + "none");
  return description.default_task;
}

}  // namespace stella::cli
