#include "cli/embed_run.hpp"

#include "cli/stream.hpp"
#include "cli/text.hpp"
#include "format/json_text.hpp"

#include <filesystem>
#include <unistd.h>
#include <utility>

namespace stella::cli {
namespace {

/// A run this long says what it embeds the texts as while there is time to stop it.
constexpr double kSecondsToRemark = 2;

bool same_file(const std::string& a, int standard_a, const std::string& b, int standard_b) {
  const auto first = identity_of(a, standard_a);
  if (first && first == identity_of(b, standard_b)) return true;
  if (a == "-" || b == "-") return a == b && standard_a == standard_b;
  const auto whole = [](const std::string& path) {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(path, error);
    return error ? std::filesystem::path(path) : std::filesystem::weakly_canonical(absolute, error);
  };
  return whole(a) == whole(b) && !whole(a).empty();
}

}  // namespace

RowFormat EmbedCommand::row_format() const {
  if (!format) {
    if (const auto named = format_of_name(output)) return *named;
    return texts.input ? RowFormat::jsonl : RowFormat::json;
  }
  if (*format == "json") return RowFormat::json;
  if (*format == "jsonl") return RowFormat::jsonl;
  if (*format == "npy") return RowFormat::npy;
  if (*format == "f32") return RowFormat::f32;
  throw Failure(kBadInput, "unknown --format '" + *format + "'; choose one of: json, jsonl, npy, f32");
}

const char* name_of(RowFormat format) {
  switch (format) {
    case RowFormat::json:
      return "json";
    case RowFormat::jsonl:
      return "jsonl";
    case RowFormat::npy:
      return "npy";
    default:
      return "f32";
  }
}

EmbedRun::EmbedRun(const EmbedCommand& command, Session& session)
    : command_(command), session_(session), format_(command.row_format()) {
  check_options();
  if (command_.in_parts()) {
    check_parts();
    return;
  }
  source_ = open_texts(command_.texts, session_);
  paths_ = row_paths(format_, command_.output, options_.dimensions);
  check_files();
  open_outputs();
}

void EmbedRun::check_options() {
  if (command_.dimensions) options_.dimensions = parse_dimensions(*command_.dimensions);
  const std::string& on_long = command_.on_long;
  if (on_long != "truncate" && on_long != "error") {
    throw Failure(kBadInput, "unknown --on-long '" + on_long + "'; choose one of: truncate, error");
  }
  const bool to_file = command_.output != "-";
  if (format_ == RowFormat::npy && !to_file) throw Failure(kBadInput, "--format npy needs --output FILE");
  if (format_ == RowFormat::f32 && !to_file && options_.dimensions.size() > 1) {
    throw Failure(kBadInput, "--format f32 with several dimensions needs --output FILE");
  }
  const bool text_rows = format_ == RowFormat::json || format_ == RowFormat::jsonl;
  if (command_.texts.keep && !text_rows) {
    throw Failure(kBadInput, std::string("--keep carries fields into json and jsonl rows, and --format is ") +
                                 name_of(format_) + "; choose another format or leave it out");
  }
  check_prompt(command_.prompt);
  header_.keep = kept_fields(command_.texts);
  options_.prompt = command_.prompt.prompt;
  options_.normalize = !command_.no_normalize;
  options_.max_length = command_.prompt.max_length;
}

/// Nothing that is read may be written over, nor two results over each other.
void EmbedRun::check_files() const {
  if (const auto& input = command_.texts.input) {
    const std::string name = *input == "-" ? "standard input" : "--input '" + *input + "'";
    for (const std::string& path : paths_) {
      const std::string output = path == "-" ? "standard output" : "--output '" + path + "'";
      if (same_file(path, STDOUT_FILENO, *input, STDIN_FILENO)) {
        throw Failure(kBadInput, output + " is the file of " + name + "; write to another file");
      }
      if (path != "-" && same_file(partial_path(path), STDOUT_FILENO, *input, STDIN_FILENO)) {
        throw Failure(kBadInput, name + " is where " + output + " would keep unfinished rows; write to another file");
      }
    }
    if (command_.meta && same_file(*command_.meta, STDOUT_FILENO, *input, STDIN_FILENO)) {
      throw Failure(kBadInput, "--meta '" + *command_.meta + "' is the file of " + name + "; write to another file");
    }
  }
  for (const std::string& path : paths_) {
    if (command_.meta && same_file(*command_.meta, STDOUT_FILENO, path, STDOUT_FILENO)) {
      throw Failure(kBadInput, "--meta '" + *command_.meta + "' and --output are the same; write to two files");
    }
  }
}

void EmbedRun::open_outputs() {
  outputs_ = open_rows(format_, paths_, waiting(session_));
  if (command_.meta) meta_ = std::make_unique<Output>(*command_.meta, waiting(session_));
}

/// Finds what the model cannot do before its weights are fetched and loaded.
ModelDescription EmbedRun::prepare(ModelSession& model_session) {
  ModelDescription description = model_session.describe();
  for (const std::size_t dimension : options_.dimensions) model_session.model().embedding_dimension(dimension);
  if (options_.dimensions.empty()) options_.dimensions = {model_session.model().embedding_dimension()};
  if (options_.prompt) {
    prompt_ = *options_.prompt;
  } else {
    header_.task = options_.task = effective_task(command_.prompt, description);
    prompt_ = prompt_of(options_.task, description);
  }
  header_.model = model_session.name();
  header_.dimensions = options_.dimensions;
  limit_ = command_.prompt.max_length.value_or(description.default_max_length);
  as_queries_ = prompt_ == prompt_of("s2p", description);
  remark_due_ = command_.texts.input && !command_.prompt.task && !command_.prompt.prompt &&
                prompt_ != prompt_of("document", description);
  return description;
}

void EmbedRun::run() {
  command_.in_parts() ? run_parts() : run_whole();
}

void EmbedRun::run_whole() {
  ModelSession model_session(session_, *command_.common);
  prepare(model_session);
  LoadedStellaModel model = model_session.load();
  header_.precision = to_string(model.precision());
  writer_ = make_row_writer(format_, header_, std::move(outputs_));
  const bool rows_on_terminal = command_.output == "-" && isatty(STDOUT_FILENO) == 1;
  report_.emplace(model_session, *source_, command_.texts.input && !rows_on_terminal);
  try {
    embed(model_session, model);
  } catch (const WriteFailure&) {
    throw;
  } catch (const Interrupted& interrupted) {
    if (rows_ == 0) model_session.fetching([] { throw; });  // heads are fetched when they are first used
    throw Interrupted(interrupted.signal_number(), interrupted.what() + keep_rows(true));
  } catch (const Failure& failure) {
    throw Failure(failure.status(), failure.what() + keep_rows(false));
  } catch (const Error& error) {
    throw Failure(exit_status(error), failure_line(error, command_.common.get()) + keep_rows(false));
  }
  writer_->finish();
  write_meta(model.description());
  report_->finish(limit_);
  if (rows_ != 0) remark_on_task(model_session);
}

void EmbedRun::embed(ModelSession& model_session, LoadedStellaModel& model) {
  const auto start = [&](std::vector<std::string> chunk) {
    return session_.start<std::vector<Embedding>>(
        [&](auto token) { model.batch_embed(std::move(chunk), options_, std::move(token)); });
  };
  stream_texts<Embedding>(session_, *source_, start, [&](const Chunk& chunk, const std::vector<Embedding>& results) {
    write(chunk, results);
    if (report_->seconds() >= kSecondsToRemark) remark_on_task(model_session);
  });
}

void EmbedRun::write(const Chunk& chunk, const std::vector<Embedding>& results) {
  std::uint64_t tokens = 0;
  std::size_t truncated = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Embedding& row = results[i];
    // Over-long texts are found in the results: the rows before them are good, and the message can count the tokens.
    if (row.truncated && command_.on_long == "error") {
      throw Failure(kBadInput, source_->describe(chunk.indices[i]) + " has " + std::to_string(row.full_tokens) +
                                   " tokens, more than the limit of " + std::to_string(limit_) +
                                   "; shorten it, raise --max-length or use --on-long truncate");
    }
    writer_->write(chunk.indices[i], row, chunk.kept[i]);
    ++rows_;
    tokens += row.tokens;
    truncated += row.truncated ? 1 : 0;
  }
  writer_->flush();
  report_->add(chunk, tokens, truncated);
}

std::string EmbedRun::keep_rows(bool interrupted) {
  if (rows_ == 0) return {};
  const std::string count =
      "; " + with_separators(rows_) + (rows_ == 1 ? " row was finished before" : " rows were finished before");
  if (command_.output == "-") {
    if (!interrupted) writer_->flush();  // which might have been what was interrupted
    return count + " and written";
  }
  try {
    std::string names;
    for (const std::string& name : writer_->keep_partial()) names += (names.empty() ? "'" : ", '") + name + "'";
    return count + (names.empty() ? " and written" : (rows_ == 1 ? " and is in " : " and are in ") + names);
  } catch (const Failure& failure) {
    return count + ", but not kept: " + failure.what();
  }
}

void EmbedRun::remark_on_task(ModelSession& model_session) {
  if (!std::exchange(remark_due_, false)) return;
  model_session.warn(std::string("no --task was given: the texts were embedded ") +
                     (as_queries_ ? "as search queries (--task " : "with the prompt of the model's default (--task ") +
                     options_.task + "); embed passages that are to be found with --task document");
}

void EmbedRun::write_meta(const ModelDescription& description) {
  if (!meta_) return;
  format::JsonText json;
  json.begin_object().member("model", header_.model).key("commit");
  description.commit.empty() ? json.raw("null") : json.value(description.commit);
  json.member("task", header_.task).member("prompt", prompt_).member("precision", header_.precision);
  json.member("dimensions", header_.dimensions).member("normalized", options_.normalize);
  json.member("max_length", limit_).member("format", name_of(format_));
  json.key("counts").begin_object().member("rows", rows_).member("skipped", report_->skipped());
  json.member("truncated", report_->truncated()).member("tokens", report_->tokens()).end_object();
  meta_->write(json.member("version", STELLA_VERSION).end_object().take() + "\n");
  meta_->commit();
}

}  // namespace stella::cli
