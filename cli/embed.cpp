// `stella embed`: texts to vectors.
#include "cli/commands.hpp"
#include "cli/rows.hpp"
#include "cli/stream.hpp"
#include "cli/text.hpp"
#include "cli/text_options.hpp"

#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella embed --model demo "What are safetensors?"
  stella embed --task document --input passages.txt --output passages.npy --format npy
  cat texts.jsonl | stella embed --input - --input-format jsonl --field body --dim 256,1024

Output:
  json   {"model","task","precision","data":[rows]}; the default for TEXT arguments
  jsonl  a row a line; the default with --input
         {"index":0,"tokens":12,"truncated":false,"dimension":1024,"embedding":[...]}
         with several dimensions "embeddings":{"256":[...],"1024":[...]} in place of the last two
  npy    float32 array (rows, dimension) for numpy.load; needs --output FILE
  f32    raw little-endian float32 rows
  With several dimensions npy and f32 write v.256.npy, v.1024.npy for --output v.npy.)";

struct EmbedCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  TextOptions texts{};
  PromptOptions prompt{};
  std::string output = "-";
  std::optional<std::string> format{};
  std::optional<std::string> dimensions{};
  bool no_normalize = false;
  std::string on_long = "truncate";

  RowFormat row_format() const;
  int run(Session& session) const;
};

RowFormat EmbedCommand::row_format() const {
  if (!format) return texts.input ? RowFormat::jsonl : RowFormat::json;
  if (*format == "json") return RowFormat::json;
  if (*format == "jsonl") return RowFormat::jsonl;
  if (*format == "npy") return RowFormat::npy;
  if (*format == "f32") return RowFormat::f32;
  throw Failure(kBadInput, "unknown --format '" + *format + "'; choose one of: json, jsonl, npy, f32");
}

int EmbedCommand::run(Session& session) const {
  const RowFormat rows = row_format();
  EmbedOptions options;
  if (dimensions) options.dimensions = parse_dimensions(*dimensions);
  if (on_long != "truncate" && on_long != "error") {
    throw Failure(kBadInput, "unknown --on-long '" + on_long + "'; choose one of: truncate, error");
  }
  const bool to_file = output != "-";
  if (rows == RowFormat::npy && !to_file) throw Failure(kBadInput, "--format npy needs --output FILE");
  if (rows == RowFormat::f32 && !to_file && options.dimensions.size() > 1) {
    throw Failure(kBadInput, "--format f32 with several dimensions needs --output FILE");
  }
  check_prompt(prompt);
  const auto source = open_texts(texts, session);

  Workspace workspace(session, *common);
  LoadedStellaModel model = workspace.load();
  for (const std::size_t dimension : options.dimensions) model.embedding_dimension(dimension);
  if (options.dimensions.empty()) options.dimensions = {model.embedding_dimension()};
  RowsHeader header{workspace.name(), std::nullopt, to_string(model.precision()), options.dimensions};
  options.prompt = prompt.prompt;
  if (!prompt.prompt) header.task = options.task = effective_task(prompt, model.description(), workspace);
  options.normalize = !no_normalize;
  options.max_length = prompt.max_length;
  const std::size_t limit = prompt.max_length.value_or(model.description().default_max_length);

  const auto writer = make_row_writer(rows, header, output,
                                      [&](int descriptor, short events) { session.wait_for(descriptor, events); });
  const auto start = [&](std::vector<std::string> chunk) {
    return session.start<std::vector<Embedding>>(
        [&](auto token) { model.batch_embed(std::move(chunk), options, std::move(token)); });
  };
  // Over-long texts are found in the results: the rows before them are good, and the message can count the tokens.
  stream_texts<Embedding>(session, *source, start, [&](std::size_t index, const std::vector<Embedding>& results) {
    for (const Embedding& row : results) {
      if (row.truncated && on_long == "error") {
        writer->flush();
        throw Failure(kBadInput, source->describe(index) + " has " + std::to_string(row.full_tokens) +
                                     " tokens, more than the limit of " + std::to_string(limit) +
                                     "; shorten it, raise --max-length or use --on-long truncate");
      }
      writer->write(index++, row);
    }
    writer->flush();
  });
  writer->finish();
  return kOk;
}

}  // namespace

Command add_embed(CLI::App& root) {
  auto command = std::make_shared<EmbedCommand>();
  CLI::App* app = root.add_subcommand("embed", "Turn texts into vectors");
  app->footer(kFooter);
  add_texts(*app, command->texts);
  add_string(*app, "--output", command->output, "Write to a file, which appears when it is complete (default -)")
      ->type_name("FILE|-");
  add_string(*app, "--format", command->format, "json, jsonl, npy or f32 (see below)")->type_name("NAME");
  add_prompt(*app, command->prompt);
  add_string(*app, "--dim", command->dimensions, "Sizes of the vectors, each of which the model has a head for")
      ->type_name("N[,N...]");
  app->add_flag("--no-normalize", command->no_normalize, "Leave the vectors' lengths as the model gives them");
  add_max_length(*app, command->prompt);
  add_string(*app, "--on-long", command->on_long,
             "truncate: cut a text that is too long and say so in its row (default). error: stop there")
      ->type_name("truncate|error");
  add_common(*app, *command->common);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
