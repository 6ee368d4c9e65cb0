// `stella search`: the passages that answer queries best.
#include "cli/columns.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/ranking.hpp"
#include "cli/stream.hpp"
#include "cli/text.hpp"
#include "cli/text_options.hpp"
#include "cli/vectors.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella search --model demo --input passages.txt "where do penguins live"
  stella embed --task document --input passages.txt --output passages.npy
  stella search --input passages.txt --vectors passages.npy --top 3 "first query" "second query"

Prints the best passages of each query with their cosines; of equal ones the earlier is first. Queries
are embedded with the model's query prompt (task s2p), passages without one (task document).
--json prints a line a query: {"query":"...","results":[{"rank":1,"index":11,"score":0.81,"text":"..."}]}
where "index" counts the lines from 0.)";

constexpr std::size_t kDefaultTop = 5;
/// A line of results where the output is no terminal, and the least of one for the text.
constexpr std::size_t kLineColumns = 120;
constexpr std::size_t kLeastTextColumns = 20;

struct SearchCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  TextOptions passages{};  ///< `texts` are the queries.
  std::optional<std::string> vectors{};
  std::optional<std::size_t> top{};
  std::optional<std::size_t> dimension{};
  std::optional<std::size_t> max_length{};
  bool json = false;

  int run(Session& session) const;
};

/// For a shell.
std::string shell_word(const std::string& word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

class SearchRun {
 public:
  SearchRun(const SearchCommand& command, Session& session);
  void run();

 private:
  std::string how_to_make_vectors() const;
  void embed_queries(ModelSession& model_session, LoadedStellaModel& model, const ModelDescription& description);
  void embed_passages(ModelSession& model_session, LoadedStellaModel& model, std::size_t limit);
  void read_passages();
  void offer(const std::string& text, std::size_t index, std::span<const float> vector);
  void print();
  std::string table_of(const std::string& query, const std::vector<Match>& matches) const;
  static std::string json_of(const std::string& query, const std::vector<Match>& matches);

  const SearchCommand& command_;
  Session& session_;
  std::unique_ptr<TextSource> source_{};
  std::optional<NpyRows> rows_{};
  EmbedOptions options_{};
  std::vector<std::string> queries_;
  std::vector<std::vector<float>> query_vectors_{};
  std::vector<Ranking> rankings_;
};

SearchRun::SearchRun(const SearchCommand& command, Session& session)
    : command_(command),
      session_(session),
      queries_(command.passages.texts),
      rankings_(queries_.size(), Ranking(command.top.value_or(kDefaultTop))) {
  if (queries_.empty())
    throw Failure(kBadInput, "no QUERY; for example stella search --input passages.txt \"a query\"");
  if (!command.passages.input) throw Failure(kBadInput, "no passages; give --input FILE, or - for standard input");
  make_argument_source(queries_, false, "QUERY");  // finds what is no text before anything is loaded
  TextOptions passages = command.passages;
  passages.texts.clear();
  source_ = open_texts(passages, session);
  options_.max_length = command.max_length;
  if (!command.vectors) return;
  rows_.emplace(*command.vectors, how_to_make_vectors());
  const std::size_t columns = rows_->columns();
  if (command.dimension.value_or(columns) != columns) {
    throw Failure(kBadInput, "--vectors '" + *command.vectors + "' has rows of " + std::to_string(columns) +
                                 " values, not of --dim " + std::to_string(*command.dimension) + "; leave --dim out");
  }
}

std::string SearchRun::how_to_make_vectors() const {
  const TextOptions& passages = command_.passages;
  std::string line = "make it with: stella embed";
  if (command_.common->model) line += " --model " + shell_word(*command_.common->model);
  line += " --task document --input " + shell_word(*passages.input);
  if (passages.input_format) line += " --input-format " + shell_word(*passages.input_format);
  if (passages.field) line += " --field " + shell_word(*passages.field);
  if (passages.skip_empty) line += " --skip-empty";
  if (command_.dimension) line += " --dim " + std::to_string(*command_.dimension);
  return line + " --format npy --output " + shell_word(*command_.vectors);
}

void SearchRun::run() {
  ModelSession model_session(session_, *command_.common);
  const ModelDescription description = model_session.describe();
  const auto wanted = rows_ ? std::optional(rows_->columns()) : command_.dimension;
  options_.dimensions = {model_session.model().embedding_dimension(wanted)};
  LoadedStellaModel model = model_session.load();
  embed_queries(model_session, model, description);
  if (rows_) {
    read_passages();
  } else {
    embed_passages(model_session, model, command_.max_length.value_or(description.default_max_length));
  }
  print();
}

void SearchRun::embed_queries(ModelSession& model_session, LoadedStellaModel& model,
                              const ModelDescription& description) {
  options_.task = description.default_task;
  for (const char* task : {"query", "s2p"}) {
    if (description.prompts.contains(task)) options_.task = task;
  }
  const auto source = make_argument_source(queries_, false, "QUERY");
  const auto start = [&](std::vector<std::string> chunk) {
    return session_.start<std::vector<Embedding>>(
        [&](auto token) { model.batch_embed(std::move(chunk), options_, std::move(token)); });
  };
  stream_texts<Embedding>(session_, *source, start, [&](const Chunk& chunk, std::vector<Embedding> results) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].truncated) {
        model_session.warn(source->describe(chunk.indices[i]) + " was cut from " +
                           std::to_string(results[i].full_tokens) + " to " + std::to_string(results[i].tokens) +
                           " tokens");
      }
      query_vectors_.push_back(std::move(results[i].vectors.at(0).second));
    }
  });
}

void SearchRun::offer(const std::string& text, std::size_t index, std::span<const float> vector) {
  for (std::size_t q = 0; q < queries_.size(); ++q) rankings_[q].offer(cosine(query_vectors_[q], vector), index, text);
}

void SearchRun::embed_passages(ModelSession& model_session, LoadedStellaModel& model, std::size_t limit) {
  EmbedOptions options = options_;
  options.task = "document";
  TextReport report(model_session, *source_, true);
  const auto start = [&](std::vector<std::string> chunk) {
    return session_.start<std::vector<Embedding>>(
        [&](auto token) { model.batch_embed(std::move(chunk), options, std::move(token)); });
  };
  stream_texts<Embedding>(session_, *source_, start, [&](const Chunk& chunk, const std::vector<Embedding>& results) {
    std::uint64_t tokens = 0;
    std::size_t truncated = 0;
    for (std::size_t i = 0; i < results.size(); ++i) {
      offer(chunk.texts[i], chunk.indices[i], results[i].vectors.at(0).second);
      tokens += results[i].tokens;
      truncated += results[i].truncated ? 1 : 0;
    }
    report.add(chunk, tokens, truncated);
  });
  report.finish(limit);
}

void SearchRun::read_passages() {
  const std::size_t columns = rows_->columns();
  const auto refuse = [&](const std::string& passages) {
    throw Failure(kBadInput, "--vectors '" + *command_.vectors + "' has " + with_separators(rows_->rows()) +
                                 " rows, and --input '" + *command_.passages.input + "' " + passages + "; " +
                                 how_to_make_vectors());
  };
  std::vector<float> vectors;
  std::size_t texts = 0;
  while (true) {
    const Chunk chunk = source_->read(kChunkTexts, kChunkBytes, true);
    if (chunk.size() > rows_->rows() - texts) refuse("more passages");
    vectors.resize(chunk.size() * columns);
    rows_->read(vectors);
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      offer(chunk.texts[i], chunk.indices[i], std::span(vectors).subspan(i * columns, columns));
    }
    texts += chunk.size();
    session_.check();
    if (chunk.last) break;
  }
  if (texts != rows_->rows()) refuse(with_separators(texts) + (texts == 1 ? " passage" : " passages"));
}

void SearchRun::print() {
  Output out("-", waiting(session_));
  for (std::size_t q = 0; q < queries_.size(); ++q) {
    const std::vector<Match> matches = rankings_[q].take();
    if (!command_.json && q != 0) out.write("\n");
    out.write(command_.json ? json_of(queries_[q], matches) : table_of(queries_[q], matches));
  }
  out.commit();
}

std::string SearchRun::table_of(const std::string& query, const std::vector<Match>& matches) const {
  winsize size{};
  const bool terminal = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0;
  const std::size_t line_columns = terminal ? size.ws_col : kLineColumns;
  std::size_t last = 0;
  for (const Match& match : matches) last = std::max(last, match.index + 1);
  const int line_width = static_cast<int>(std::max<std::size_t>(4, std::to_string(last).size()));
  const int rank_width = static_cast<int>(std::max<std::size_t>(4, std::to_string(matches.size()).size()));
  const std::size_t before = static_cast<std::size_t>(rank_width + line_width) + 11 + 1;
  const std::size_t text_columns = std::max(kLeastTextColumns, line_columns - std::min(line_columns, before));

  std::array<char, 128> cells{};
  std::string table = fit_columns(query, line_columns) + "\n";
  std::snprintf(cells.data(), cells.size(), "%*s   score  %*s  text\n", rank_width, "rank", line_width, "line");
  table += cells.data();
  for (std::size_t i = 0; i < matches.size(); ++i) {
    std::snprintf(cells.data(), cells.size(), "%*zu  %6.4f  %*zu  ", rank_width, i + 1, matches[i].score, line_width,
                  matches[i].index + 1);
    table += cells.data() + fit_columns(matches[i].text, text_columns) + "\n";
  }
  return table;
}

std::string SearchRun::json_of(const std::string& query, const std::vector<Match>& matches) {
  format::JsonText json;
  json.begin_object().member("query", query).key("results").begin_array();
  for (std::size_t i = 0; i < matches.size(); ++i) {
    json.begin_object().member("rank", i + 1).member("index", matches[i].index);
    json.member("score", static_cast<float>(matches[i].score)).member("text", matches[i].text).end_object();
  }
  return json.end_array().end_object().take() + "\n";
}

int SearchCommand::run(Session& session) const {
  SearchRun(*this, session).run();
  return kOk;
}

}  // namespace

Command add_search(CLI::App& root) {
  auto command = std::make_shared<SearchCommand>();
  CLI::App* app = root.add_subcommand("search", "Find the passages that answer a query best");
  app->footer(kFooter);
  add_arguments(*app, "QUERY", command->passages.texts, "Queries; put -- before them where one starts with a dash");
  add_string(*app, "--input", command->passages.input, "Read the passages from a file, - for standard input")
      ->type_name("FILE|-");
  add_input_format(*app, command->passages);
  add_string(*app, "--vectors", command->vectors,
             "Take the passages' vectors from what `stella embed` wrote, instead of embedding them")
      ->type_name("NPY");
  add_count(*app, "--top", command->top, "Passages to print for each query (default 5)");
  add_count(*app, "--dim", command->dimension, "Size of the vectors that are compared");
  add_count(*app, "--max-length", command->max_length,
            "Most tokens of a text, with prompt and special tokens (default: the model's own, often 512)");
  app->add_flag("--json", command->json, "Print JSON, a line a query, with the whole texts");
  add_common(*app, *command->common);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
