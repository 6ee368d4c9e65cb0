// `stella serve`: the HTTP server.
#include "cli/commands.hpp"
#include "cli/serve_options.hpp"
#include "cli/serve_run.hpp"

#include <sys/resource.h>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella serve --model demo
  stella serve --model NovaSearch/stella_en_400M_v5 --host 0.0.0.0 --api-key-file keys.txt
  stella serve --model NovaSearch/stella_en_400M_v5 --allow-model NovaSearch/stella_en_1.5B_v5
  curl http://127.0.0.1:3000/v1/embeddings -H 'Content-Type: application/json' -d '{"input":"stella "}'

Speaks to clients of OpenAI (POST /v1/embeddings), text-embeddings-inference (POST /embed /embed_all /similarity
/tokenize /decode), Ollama (POST /api/embed) and Cohere (POST /v2/embed); GET / is a page to try it. Texts get no
prompt unless a request names one ("prompt_name":"s2p") or --default-prompt-name does.

Listens at once and loads the model behind: GET /health is 503 until it is there, GET /ping is 200.

SIGHUP reads the files of keys, certificates and limits again, without dropping a request. SIGTERM: /health is 503
at once, what was sent is answered, then the program ends, at the latest after --drain-timeout; a second signal
ends it at once.

docs/server.md has the routes, the limits and the clients that were tried.)";

/// A descriptor for each connection.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

int serve(Session& session, const ServeOptions& options) {
  options.complete_common();
  raise_descriptor_limit();
  ModelSession model(session, *options.common, options.json_output ? ProgressStyle::none : ProgressStyle::lines);
  if (options.json_output) log_as_json(least_logged(*options.common));
  ServeRun run([&options] { return options.server_options(); }, model.model().core().options());
  run.run(model.screen());
  return kOk;
}

}  // namespace

Command add_serve(CLI::App& root) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* app = root.add_subcommand("serve", "Answer clients of OpenAI and TEI over HTTP");
  app->footer(kFooter);
  add_serve_options(*app, *options);
  return {app, options->common, [options](Session& session) { return serve(session, *options); }};
}

}  // namespace stella::cli
