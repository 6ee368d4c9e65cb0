// `stella similarity`: how alike texts are, each with each.
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/stream.hpp"
#include "cli/text.hpp"
#include "cli/text_options.hpp"

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
  stella similarity --model demo --task s2s "a red car" "a crimson automobile" "a bowl of soup"
  stella similarity --input sentences.txt --json --dim 256

Prints the cosine of every pair: 1 is the same meaning, 0 unrelated.)";

/// A matrix of this many rows has 25 million cells.
constexpr std::size_t kMostTexts = 5'000;
constexpr std::size_t kLabelWidth = 48;

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
  const auto characters = [](const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  };
  std::size_t widest = 0;
  for (const std::string& label : labels) widest = std::max(widest, characters(label));
  const std::size_t index_width = std::to_string(labels.size()).size();
  std::string line(index_width + 2 + widest, ' ');
  const auto append_cell = [&line](const std::string& cell) {
    line += std::string(9 - std::min<std::size_t>(cell.size(), 8), ' ') + cell;
  };
  for (std::size_t column = 0; column < labels.size(); ++column) append_cell(std::to_string(column + 1));
  out.write(line + "\n");
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const std::string index = std::to_string(row + 1);
    line = std::string(index_width - index.size(), ' ') + index + "  " + labels[row] +
           std::string(widest - characters(labels[row]), ' ');
    for (const auto& other : vectors) {
      std::array<char, 32> cell{};
      std::snprintf(cell.data(), cell.size(), "%.4f", dot(vectors[row], other));
      append_cell(cell.data());
    }
    out.write(line + "\n");
  }
}

void write_json(Output& out, const std::string& head, const std::vector<std::vector<float>>& vectors) {
  out.write("{" + head + ",\"similarity\":[");
  for (std::size_t row = 0; row < vectors.size(); ++row) {
    std::string line = row == 0 ? "\n[" : ",\n[";
    for (std::size_t column = 0; column < vectors.size(); ++column) {
      if (column != 0) line += ',';
      append_float(line, static_cast<float>(dot(vectors[row], vectors[column])));
    }
    out.write(line + "]");
  }
  out.write("\n]}\n");
}

int SimilarityCommand::run(Session& session) const {
  if (!texts.input && texts.texts.size() == 1) {
    throw Failure(kBadInput, "one text has nothing to be compared with; give two TEXT arguments or more");
  }
  check_prompt(prompt);
  const auto source = open_texts(texts, session);
  Workspace workspace(session, *common);
  LoadedStellaModel model = workspace.load();
  EmbedOptions options;
  options.dimensions = {model.embedding_dimension(dimension)};
  options.prompt = prompt.prompt;
  if (!prompt.prompt) options.task = effective_task(prompt, model.description(), workspace);
  options.max_length = prompt.max_length;

  std::vector<std::string> labels;
  std::vector<std::vector<float>> vectors;
  const auto start = [&](std::vector<std::string> chunk) {
    for (const std::string& text : chunk) labels.push_back(shorten(text, kLabelWidth));
    if (labels.size() > kMostTexts) {
      throw Failure(kBadInput, "more than 5000 texts make too large a matrix; use `stella embed` and a vector index");
    }
    return session.start<std::vector<Embedding>>(
        [&](auto token) { model.batch_embed(std::move(chunk), options, std::move(token)); });
  };
  stream_texts<Embedding>(session, *source, start, [&](std::size_t, std::vector<Embedding> results) {
    for (Embedding& row : results) vectors.push_back(std::move(row.vectors.at(0).second));
  });

  Output out("-", [&](int descriptor, short events) { session.wait_for(descriptor, events); });
  if (json) {
    const std::string task = prompt.prompt ? "null" : json_string(options.task);
    write_json(out,
               "\"model\":" + json_string(workspace.name()) + ",\"task\":" + task +
                   ",\"precision\":" + json_string(to_string(model.precision())) +
                   ",\"dimension\":" + std::to_string(options.dimensions[0]),
               vectors);
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
  add_prompt(*app, command->prompt);
  add_count(*app, "--dim", command->dimension, "Size of the vectors that are compared");
  add_max_length(*app, command->prompt);
  app->add_flag("--json", command->json, "Print JSON: the matrix under \"similarity\"");
  add_common(*app, *command->common);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
