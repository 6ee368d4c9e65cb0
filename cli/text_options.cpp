#include "cli/text_options.hpp"

#include "cli/output.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <CLI/CLI.hpp>

namespace stella::cli {

void add_input_format(CLI::App& app, TextOptions& options) {
  add_string(app, "--input-format", options.input_format,
             "lines: a text a line. jsonl: a JSON string or object a line (default: jsonl for names that end in .jsonl "
             "or .ndjson, else lines)")
      ->type_name("lines|jsonl");
  add_string(app, "--field", options.field, "Field of the JSON objects that holds the text (default text)")
      ->type_name("NAME");
  app.add_flag("--skip-empty", options.skip_empty, "Leave empty texts out and count them, instead of stopping there");
}

void add_arguments(CLI::App& app, const std::string& name, std::vector<std::string>& arguments,
                   const std::string& description) {
  app.add_option(
         name,
         [&arguments](const CLI::results_t& results) {
           for (const std::string& text : results) arguments.push_back(unguard(text));
           return true;
         },
         description)
      ->expected(0, CLI::detail::expected_max_vector_size)
      ->allow_extra_args()
      ->take_all()
      ->type_name("");
}

void add_texts(CLI::App& app, TextOptions& options) {
  add_arguments(app, "TEXT", options.texts, "Texts; put -- before them where one starts with a dash");
  add_string(app, "--input", options.input, "Read the texts from a file, - for standard input")->type_name("FILE|-");
  add_input_format(app, options);
}

InputFormat input_format_of(const TextOptions& options) {
  if (options.input_format == "lines") return InputFormat::lines;
  if (options.input_format == "jsonl") return InputFormat::jsonl;
  if (options.input_format) {
    throw Failure(kBadInput, "unknown --input-format '" + *options.input_format + "'; choose one of: lines, jsonl");
  }
  const std::string extension = lower_extension(options.input.value_or(""));
  return extension == ".jsonl" || extension == ".ndjson" ? InputFormat::jsonl : InputFormat::lines;
}

std::vector<std::string> kept_fields(const TextOptions& options) {
  constexpr std::array<std::string_view, 7> kTaken{"index",     "tokens",    "truncated", "full_tokens",
                                                   "dimension", "embedding", "embeddings"};
  std::vector<std::string> names;
  if (!options.keep) return names;
  const std::string& list = *options.keep;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    std::string name = list.substr(at, end - at);
    at = end + 1;
    if (name.empty()) {
      throw Failure(kBadInput,
                    "--keep '" + list + "': names separated by commas are wanted, for example --keep id,url");
    }
    if (std::find(kTaken.begin(), kTaken.end(), name) != kTaken.end()) {
      throw Failure(kBadInput, "--keep '" + name + "': every row has a field of that name already; rename it");
    }
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      throw Failure(kBadInput, "--keep '" + list + "' names '" + name + "' twice");
    }
    names.push_back(std::move(name));
  }
  return names;
}

namespace {

/// The first of the options that describe the file of --input, if one was given.
const char* input_option(const TextOptions& options) {
  if (options.input_format) return "--input-format";
  if (options.field) return "--field";
  return options.keep ? "--keep" : nullptr;
}

}  // namespace

std::unique_ptr<TextSource> open_texts(const TextOptions& options, Session& session) {
  if (!options.input) {
    if (const char* name = input_option(options)) {
      throw Failure(kBadInput,
                    std::string(name) + " describes the file of --input; give --input FILE, or - for standard input");
    }
    if (options.texts.empty()) {
      throw Failure(kBadInput, "no text; give TEXT arguments or --input FILE (- for standard input)");
    }
    return make_argument_source(options.texts, options.skip_empty);
  }
  return make_file_source(*options.input, file_options(options), waiting(session));
}

FileSourceOptions file_options(const TextOptions& options) {
  if (!options.texts.empty()) throw Failure(kBadInput, "both TEXT arguments and --input; give one of them");
  FileSourceOptions file;
  file.format = input_format_of(options);
  if (file.format == InputFormat::lines && (options.field || options.keep)) {
    throw Failure(kBadInput, std::string(options.field ? "--field" : "--keep") + " is for JSON lines, and --input '" +
                                 *options.input + "' is read as plain lines; add --input-format jsonl or leave it out");
  }
  file.fields = {options.field.value_or("text"), kept_fields(options)};
  file.skip_empty = options.skip_empty;
  return file;
}

WaitFunction waiting(Session& session) {
  return [&session](int descriptor, short events) { session.wait_for(descriptor, events); };
}

void add_max_length(CLI::App& app, PromptOptions& options) {
  add_count(app, "--max-length", options.max_length,
            "Most tokens of a text, with prompt and special tokens (default: the model's own, often 512)");
}

void add_prompt(CLI::App& app, PromptOptions& options, std::string_view default_task) {
  const auto name = [&](std::string_view task) {
    return std::string(task) + (task == default_task ? ", the default," : "");
  };
  add_string(app, "--task", options.task,
             "Prompt by name: " + name("s2p") + " for search queries, " + name("s2s") +
                 " for likeness between sentences, document or none for texts to be found")
      ->type_name("s2p|s2s|document|NAME");
  add_string(app, "--prompt", options.prompt, "Literal text put before each text, in place of --task's");
}

void check_prompt(const PromptOptions& options) {
  if (options.task && options.prompt) throw Failure(kBadInput, "both --task and --prompt; give one of them");
}

std::string effective_task(const PromptOptions& options, const ModelDescription& description) {
  if (!options.task || options.task->empty()) return description.default_task;
  description.prompt_for(*options.task);
  return *options.task;
}

std::string prompt_of(const std::string& task, const ModelDescription& description) {
  try {
    return description.prompt_for(task);
  } catch (const Error&) {
    return {};
  }
}

double TextReport::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void TextReport::add(const Chunk& chunk, std::uint64_t tokens, std::size_t truncated) {
  progress_.texts += chunk.size();
  progress_.tokens += tokens;
  progress_.bytes = bytes_before_ + chunk.end;
  progress_.total = total_.value_or(source_->size().value_or(0));
  progress_.seconds = seconds();
  truncated_ += truncated;
  if (show_bar_) workspace_.screen().display().on_texts(progress_);
}

void TextReport::go_on_with(const TextSource& source) {
  bytes_before_ = progress_.bytes;
  skipped_before_ += source_->skipped();
  source_ = &source;
}

void TextReport::finish(std::size_t max_length) {
  if (show_bar_) workspace_.screen().display().on_texts_done(progress_);
  if (truncated_ != 0) {
    // Always in these words and without separators, so that a script finds it.
    workspace_.warn(std::to_string(truncated_) + " of " + std::to_string(progress_.texts) + " texts were cut to " +
                    std::to_string(max_length) + " tokens");
  }
  if (const std::size_t left_out = skipped(); left_out != 0) {
    workspace_.warn(with_separators(left_out) +
                    (left_out == 1 ? " empty text was skipped" : " empty texts were skipped"));
  }
}

}  // namespace stella::cli
