// `stella bench --url`: what a running server does under load.
#include "base/shown_url.hpp"
#include "cli/commands.hpp"
#include "cli/input.hpp"
#include "cli/load.hpp"
#include "cli/options.hpp"
#include "cli/output.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella bench --url http://127.0.0.1:3000
  stella bench --url http://127.0.0.1:3000 --clients 64 --duration 30 --task s2p --json
  stella bench --url http://127.0.0.1:3000 --clients 4 --texts 256 --input passages.txt --bulk --finish 120

Each client sends a request as soon as it has the answer to its last; after the duration none is sent any more, and
those under way have --finish to be answered: what is not by then is counted as unfinished. Latency is a request's,
from its first byte to its answer's last, of those answered with 200. Any server with OpenAI's POST /v1/embeddings, or
with POST /embed as text-embeddings-inference has it, can be asked.
^C ends it with what was measured so far.)";

constexpr std::size_t kMaxClients = 10'000;
constexpr std::size_t kMaxInputTexts = 100'000;
constexpr std::size_t kMaxInputBytes = 256'000'000;

const std::vector<std::string>& usual_texts() {
  static const std::vector<std::string> kTexts{
      "how do I fix a flat tire on my bike?",    "what makes bread rise",
      "why do we have high and low tides",       "ways to lower stress",
      "best time of the year to plant tomatoes", "difference between a virus and a bacterium",
      "how far is the moon from the earth",      "file format for the weights of a model"};
  return kTexts;
}

struct BenchCommand {
  std::string url{};
  std::string route = "openai";
  std::optional<std::size_t> clients{};
  std::optional<std::size_t> duration{};
  std::optional<std::size_t> finish{};
  std::optional<std::size_t> texts{};
  std::optional<std::string> input{};
  std::optional<std::string> api_key{};
  std::optional<std::string> model{};
  std::optional<std::string> task{};
  std::optional<std::size_t> dimension{};
  bool bulk = false;
  bool json = false;

  LoadPlan plan(Session& session) const;
  int run(Session& session) const;
};

LoadRoute parse_route(const std::string& name) {
  if (name == "openai") return LoadRoute::openai;
  if (name == "tei") return LoadRoute::tei;
  throw Failure(kBadInput, "unknown --route '" + name + "'; choose one of: openai, tei");
}

std::vector<std::string> read_texts(const std::string& path, Session& session) {
  FileSourceOptions options;
  const std::string extension = lower_extension(path);
  if (extension == ".jsonl" || extension == ".ndjson") options.format = InputFormat::jsonl;
  options.skip_empty = true;
  const auto source = make_file_source(
      path, options, [&session](int descriptor, short events) { session.wait_for(descriptor, events); });
  std::vector<std::string> texts;
  std::size_t bytes = 0;
  for (bool more = true; more && texts.size() < kMaxInputTexts && bytes < kMaxInputBytes;) {
    Chunk chunk = source->read(1024, kMaxTextBytes, true);
    more = !chunk.last;
    for (std::string& text : chunk.texts) {
      bytes += text.size();
      texts.push_back(std::move(text));
    }
  }
  if (texts.empty()) throw Failure(kBadInput, "--input '" + path + "' has no text; give a file with a text a line");
  return texts;
}

LoadPlan BenchCommand::plan(Session& session) const {
  LoadPlan plan;
  plan.url = url;
  const std::size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (scheme == 0 || url.find_first_not_of('/', scheme) == std::string::npos) {
    throw Failure(kBadInput,
                  "--url '" + without_password(url) + "' is not an address; give one such as http://127.0.0.1:3000");
  }
  plan.route = parse_route(route);
  plan.clients = clients.value_or(plan.clients);
  if (plan.clients > kMaxClients) {
    throw Failure(kBadInput, "--clients " + std::to_string(plan.clients) + " is more than the most, " +
                                 std::to_string(kMaxClients));
  }
  const auto seconds = [](std::size_t number) { return std::chrono::seconds(std::min<std::size_t>(number, 86'400)); };
  if (duration) plan.duration = seconds(*duration);
  if (finish) plan.finish = seconds(*finish);
  plan.texts_per_request = texts.value_or(plan.texts_per_request);
  plan.texts = input ? read_texts(*input, session) : usual_texts();
  plan.api_key = api_key;
  plan.model = model;
  plan.task = task;
  plan.dimension = dimension;
  plan.bulk = bulk;
  return plan;
}

int BenchCommand::run(Session& session) const {
  const LoadPlan plan = this->plan(session);
  LoadCounts counts;
  std::optional<Interrupted> interrupted;
  try {
    run_load(plan, counts, [&session] { session.check(); });
  } catch (const Interrupted& signal) {
    interrupted = signal;
  }
  if (!interrupted || counts.seconds > 0) {
    Output out("-");
    out.write(json ? load_json(plan, counts) : load_text(plan, counts));
    out.commit();
  }
  if (interrupted) throw Interrupted(*interrupted);
  return counts.milliseconds.empty() ? kRuntimeFailure : kOk;
}

}  // namespace

Command add_bench(CLI::App& root) {
  auto command = std::make_shared<BenchCommand>();
  CLI::App* app = root.add_subcommand("bench", "Load a running server and say how it holds: latency, rates, errors");
  app->footer(kFooter);
  add_string(*app, "--url", command->url, "The server's address")->type_name("URL")->required();
  add_string(*app, "--route", command->route, "POST /v1/embeddings (openai, the default) or POST /embed (tei)")
      ->type_name("openai|tei");
  add_count(*app, "--clients", command->clients, "Clients that ask at the same time (default 8)");
  add_count(*app, "--duration", command->duration, "Seconds (default 10)")->type_name("SECONDS");
  add_count(*app, "--finish", command->finish, "Seconds that requests have to be answered after that (default 10)")
      ->type_name("SECONDS");
  add_count(*app, "--texts", command->texts, "Texts of one request (default 1)");
  add_string(*app, "--input", command->input,
             "A text a line, or JSON lines (.jsonl); taken in turn (default: eight short queries)")
      ->type_name("FILE");
  add_string(*app, "--task", command->task, "Prompt, as prompt_name (default: the server's)")->type_name("NAME");
  add_count(*app, "--dim", command->dimension, "Dimension (default: the server's)");
  add_string(*app, "--model", command->model, "Model to ask for, of a server that has several")->type_name("NAME");
  add_string(*app, "--api-key", command->api_key,
             "A key; others on this machine can see arguments: better the variable")
      ->type_name("KEY")
      ->envname("STELLA_API_KEY");
  app->add_flag("--bulk", command->bulk, "Send x-priority: bulk");
  app->add_flag("--json", command->json, "One JSON object");
  return {app, nullptr, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
