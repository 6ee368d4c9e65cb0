// `stella similarity`: how alike texts are, each with each.
#include "cli/columns.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/stream.hpp"
#include "cli/text.hpp"
#include "cli/text_options.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella similarity --model demo "a red car" "a crimson automobile" "a bowl of soup"
  stella similarity --input sentences.txt --json --dim 256

Prints the cosine of every pair: 1 is the same meaning, 0 unrelated. Texts are compared as likes (task
s2s) where the model has a prompt for that.)";

/// A matrix of this many rows has 25 million cells.
constexpr std::size_t kMaxTexts = 5'000;
constexpr std::size_t kLabelColumns = 48;

struct SimilarityCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  TextOptions texts{};
  PromptOptions prompt{};
  std::optional<std::size_t> dimension{};
  bool json = false;

  int run(Session& session) const;
};

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return std::clamp(sum, -1.0, 1.0);
}

void write_table(Output& out, const std::vector<std::string>& labels, const std::vector<std::vector<float>>& vectors) {
  std::size_t widest = 0;
  for (const std::string& label : labels) widest = std::max(widest, columns_of(label));
  const std::size_t index_width = std::to_string(labels.size()).size();
  std::string line(index_width + 2 + widest, ' ');
  const auto append_cell = [&line](const std::string& cell) {
    line += std::string(9 - std::min<std::size_t>(cell.size(), 8), ' ') + cell;
  };
  for (std::size_t column = 0; column < labels.size(); ++column) append_cell(std::to_string(column + 1));
  out.write(line + "\n");
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const std::string index = std::to_string(row + 1);
    line = std::string(index_width - index.size(), ' ') + index + "  " + pad_columns(labels[row], widest);
    for (const auto& other : vectors) {
      std::array<char, 32> cell{};
      std::snprintf(cell.data(), cell.size(), "%.4f", dot(vectors[row], other));
      append_cell(cell.data());
    }
    out.write(line + "\n");
  }
}

/// Behind the `head` of an object that is open yet; a row of the matrix a line.
void write_json(Output& out, format::JsonText head, const std::vector<std::vector<float>>& vectors) {
  out.write(head.key("similarity").begin_array().take());
  for (std::size_t row = 0; row < vectors.size(); ++row) {
    format::JsonText line;
    line.begin_array();
    for (const auto& other : vectors) line.value(static_cast<float>(dot(vectors[row], other)));
    out.write((row == 0 ? "\n" : ",\n") + line.end_array().take());
  }
  out.write("\n]}\n");
}

/// Texts that are compared with each other are likes: where the model's default is to take them for queries, by
/// whatever name, that is not meant.
std::string task_of_likes(const PromptOptions& prompt, const ModelDescription& description) {
  std::string task = effective_task(prompt, description);
  const bool by_default = !prompt.task || prompt.task->empty();
  const std::string text = prompt_of(task, description);
  const bool queries = !text.empty() && text == prompt_of("s2p", description);
  return by_default && queries && description.prompts.contains("s2s") ? "s2s" : task;
}

int SimilarityCommand::run(Session& session) const {
  if (!texts.input && texts.texts.size() == 1) {
    throw Failure(kBadInput, "one text has nothing to be compared with; give two TEXT arguments or more");
  }
  check_prompt(prompt);
  const auto source = open_texts(texts, session);
  ModelSession model_session(session, *common);
  const ModelDescription description = model_session.describe();
  EmbedOptions options;
  options.dimensions = {model_session.model().embedding_dimension(dimension)};
  options.prompt = prompt.prompt;
  if (!prompt.prompt) options.task = task_of_likes(prompt, description);
  options.max_length = prompt.max_length;
  LoadedStellaModel model = model_session.load();
  TextReport report(model_session, *source, texts.input.has_value());

  std::vector<std::string> labels;
  std::vector<std::vector<float>> vectors;
  const auto start = [&](std::vector<std::string> chunk) {
    for (const std::string& text : chunk) labels.push_back(fit_columns(text, kLabelColumns));
    if (labels.size() > kMaxTexts) {
      throw Failure(kBadInput, "more than 5000 texts make too large a matrix; use `stella embed` and a vector index");
    }
    return session.start<std::vector<Embedding>>(
        [&](auto token) { model.batch_embed(std::move(chunk), options, std::move(token)); });
  };
  stream_texts<Embedding>(session, *source, start, [&](const Chunk& chunk, std::vector<Embedding> results) {
    std::uint64_t tokens = 0;
    std::size_t truncated = 0;
    for (Embedding& row : results) {
      tokens += row.tokens;
      truncated += row.truncated ? 1 : 0;
      vectors.push_back(std::move(row.vectors.at(0).second));
    }
    report.add(chunk, tokens, truncated);
  });
  report.finish(prompt.max_length.value_or(description.default_max_length));

  Output out("-", waiting(session));
  if (json) {
    format::JsonText head;
    head.begin_object().member("model", model_session.name()).key("task");
    prompt.prompt ? head.raw("null") : head.value(options.task);
    head.member("precision", to_string(model.precision())).member("dimension", options.dimensions[0]);
    write_json(out, std::move(head), vectors);
  } else {
    write_table(out, labels, vectors);
  }
  out.commit();
  return kOk;
}

}  // namespace

Command add_similarity(CLI::App& root) {
  auto command = std::make_shared<SimilarityCommand>();
  CLI::App* app = root.add_subcommand("similarity", "Print how alike texts are, each with each");
  app->footer(kFooter);
  add_texts(*app, command->texts);
  add_prompt(*app, command->prompt, "s2s");
  add_count(*app, "--dim", command->dimension, "Size of the vectors that are compared");
  add_max_length(*app, command->prompt);
  app->add_flag("--json", command->json, "Print JSON: the matrix under \"similarity\"");
  add_common(*app, *command->common);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
