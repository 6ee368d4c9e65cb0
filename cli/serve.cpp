// `stella serve`: the HTTP server.
#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "server/keys.hpp"
#include "server/observe/logs.hpp"
#include "server/server.hpp"
#include "stella/error.hpp"
#include "stella/log.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utility>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace stella::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  stella serve --model demo
  stella serve --model NovaSearch/stella_en_400M_v5 --host 0.0.0.0 --api-key-file keys.txt
  curl http://127.0.0.1:3000/v1/embeddings -H 'Content-Type: application/json' -d '{"input":"stella "}'

Speaks to clients of OpenAI (POST /v1/embeddings, GET /v1/models) and of text-embeddings-inference (POST /embed
/embed_all /similarity /tokenize /decode, GET /info /health /metrics). Texts get no prompt unless a request
names one ("prompt_name":"s2p") or --default-prompt-name does.

Listens at once and loads the model behind: GET /health is 503 until it is there, GET /ping is 200. SIGTERM:
/health is 503 at once, what was sent is answered, then the program ends, at the latest after --drain-timeout;
a second signal ends it at once.

docs/server.md has the routes, the limits and the clients that were tried.)";

constexpr const char* kServer = "Server";
constexpr const char* kRequests = "Requests";
constexpr const char* kLimits = "Limits";
constexpr const char* kLogs = "Logs and traces";

struct ServeCommand {
  std::shared_ptr<CommonOptions> common = std::make_shared<CommonOptions>();
  std::string host = "127.0.0.1";
  std::string port = "3000";
  std::vector<std::string> api_keys{};
  std::optional<std::string> api_key_file{};
  std::optional<std::string> served_model_name{};
  std::optional<std::string> default_prompt_name{};
  std::optional<std::string> default_prompt{};
  std::string auto_truncate = "true";
  std::string token_ids = "checked";
  std::optional<std::size_t> max_concurrent_requests{};
  std::optional<std::size_t> max_client_batch_size{};
  std::optional<std::size_t> payload_limit{};
  std::optional<std::size_t> max_connections{};
  std::optional<std::size_t> max_connections_per_address{};
  std::optional<std::size_t> request_timeout{};
  std::optional<std::size_t> drain_timeout{};
  bool access_log = false;
  bool json_output = false;
  std::optional<std::string> otlp_endpoint{};
  std::string otlp_service_name = "stella";

  server::Options options() const;
  int run(Session& session) const;
};

std::uint16_t parse_port(const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw Failure(kBadInput, "--port '" + text + "' is not a port; give a number from 0 (the system chooses) to 65535");
  }
  return port;
}

std::string choose(const char* option, const std::string& value, const std::array<const char*, 2>& names) {
  if (value == names[0] || value == names[1]) return value;
  throw Failure(kBadInput,
                std::string("unknown ") + option + " '" + value + "'; choose one of: " + names[0] + ", " + names[1]);
}

std::vector<std::string> read_keys(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in.is_open() || in.bad())
    throw Failure(kBadInput, "cannot read --api-key-file '" + path + "'; give a file with a key a line");
  std::vector<std::string> keys = server::keys_of_text(text);
  if (keys.empty()) throw Failure(kBadInput, "--api-key-file '" + path + "' has no key; write one a line");
  return keys;
}

server::Options ServeCommand::options() const {
  constexpr std::chrono::seconds kSecond{1};
  server::Options options;
  options.host = host;
  options.port = parse_port(port);
  options.model_id = common->model_or_default();
  options.served_model_name = served_model_name;
  options.default_prompt_name = default_prompt_name;
  options.default_prompt = default_prompt;
  options.auto_truncate = choose("--auto-truncate", auto_truncate, {"true", "false"}) == "true";
  options.any_token_ids = choose("--token-ids", token_ids, {"checked", "any"}) == "any";
  options.api_keys = api_keys;
  if (api_key_file) {
    const auto more = read_keys(*api_key_file);
    options.api_keys.insert(options.api_keys.end(), more.begin(), more.end());
  }
  if (max_concurrent_requests) {
    options.max_concurrent_requests = *max_concurrent_requests;
    options.max_client_batch_size = std::min(options.max_client_batch_size, *max_concurrent_requests);
  }
  if (max_client_batch_size) options.max_client_batch_size = *max_client_batch_size;
  if (payload_limit) options.limits.body_bytes = *payload_limit;
  if (max_connections) options.limits.connections = *max_connections;
  if (max_connections_per_address) options.limits.connections_per_address = *max_connections_per_address;
  if (request_timeout) options.request_timeout = kSecond * *request_timeout;
  if (drain_timeout) options.drain_timeout = kSecond * *drain_timeout;
  options.version = STELLA_VERSION;
  options.access_log = access_log;
  options.json_output = json_output;
  options.otlp_endpoint = otlp_endpoint;
  options.otlp_service_name = otlp_service_name;
  return options;
}

std::string json_remark(LogLevel level, std::string_view line) {
  return server::json_line(level, line, std::chrono::system_clock::now());
}

/// In place of the screen's.
void log_as_json(LogLevel least) {
  set_log_sink([least](LogLevel level, std::string_view line) {
    if (level >= least) std::fprintf(stderr, "%s\n", json_remark(level, line).c_str());
  });
}

/// A descriptor for each connection.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

/// Runs the server until a signal has ended it, or its model cannot be loaded.
class ServeRun {
 public:
  ServeRun(const server::Options& options, const Model& model)
      : json_(options.json_output), server_(io_, options, model) {}

  void run(Screen& screen);

 private:
  void watch_signals();
  void on_signal();
  void end();
  void say(const std::string& line) const {
    std::fprintf(stderr, "%s\n", (json_ ? json_remark(LogLevel::info, line) : "stella: " + line).c_str());
  }

  const bool json_;
  boost::asio::io_context io_{1};
  boost::asio::posix::stream_descriptor signals_{io_};
  server::Server server_;
  bool draining_ = false;
  std::exception_ptr failure_{};
};

/// The session has blocked the signals that end the program; here they are read in its place.
void ServeRun::watch_signals() {
  sigset_t blocked;
  sigemptyset(&blocked);
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  const int descriptor = signalfd(-1, &blocked, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor < 0) throw Failure(kRuntimeFailure, with_errno("cannot watch signals", errno));
  signals_.assign(descriptor);
  on_signal();
}

void ServeRun::on_signal() {
  signals_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    signalfd_siginfo info{};
    if (error || ::read(signals_.native_handle(), &info, sizeof info) != sizeof info) return;
    if (draining_) ::_exit(128 + static_cast<int>(info.ssi_signo));
    draining_ = true;
    say("answers what was sent, then ends; a second signal ends it at once");
    server_.drain([this] { end(); });
    on_signal();
  });
}

/// From here on signals end the program in the system's own way.
void ServeRun::end() {
  sigset_t blocked;
  sigemptyset(&blocked);
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  signals_.close();
  pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
}

void ServeRun::run(Screen& screen) {
  watch_signals();
  say("listening on " + server_.url() + "; the model is being loaded");
  server_.start([this, &screen](std::exception_ptr error) {
    if (draining_) return;
    if (error) {
      failure_ = std::move(error);
      server_.drain([this] { end(); });
      return;
    }
    screen.display().close();
    say("ready; try: curl " + server_.url() +
        "/v1/embeddings -H 'Content-Type: application/json' -d '{\"input\":\"What are safetensors?\"}'");
  });
  io_.run();
  if (failure_) std::rethrow_exception(failure_);
}

int ServeCommand::run(Session& session) const {
  const server::Options options = this->options();
  raise_descriptor_limit();
  ModelSession model_session(session, *common, json_output ? ProgressStyle::none : ProgressStyle::lines);
  if (json_output) log_as_json(least_logged(*common));
  ServeRun run(options, model_session.model().core());
  run.run(model_session.screen());
  return kOk;
}

/// What containers set to their own name counts only where it is an address.
std::string host_of_environment() {
  const char* name = std::getenv("HOSTNAME");
  std::array<unsigned char, sizeof(in6_addr)> address{};
  const bool literal = name != nullptr && (inet_pton(AF_INET, name, address.data()) == 1 ||
                                           inet_pton(AF_INET6, name, address.data()) == 1);
  return literal ? name : "127.0.0.1";
}

void add_server(CLI::App& app, ServeCommand& command) {
  command.host = host_of_environment();
  add_string(app, "--host,--hostname", command.host, "Address to listen on (default 127.0.0.1: this machine only)")
      ->type_name("ADDRESS")
      ->group(kServer);
  add_string(app, "--port", command.port, "Port to listen on; 0: the system chooses one (default 3000)")
      ->type_name("PORT")
      ->envname("PORT")
      ->group(kServer);
  app.add_option("--api-key", command.api_keys,
                 "A key that clients must send; may be given more than once. Others on this machine can see a "
                 "program's arguments: better the variable or a file")
      ->type_name("KEY")
      ->envname("STELLA_API_KEY")
      ->allow_extra_args(false)
      ->group(kServer);
  add_string(app, "--api-key-file", command.api_key_file, "A file with a key a line")
      ->type_name("FILE")
      ->group(kServer);
  add_string(app, "--served-model-name", command.served_model_name, "What clients call the model (default: --model)")
      ->type_name("NAME")
      ->envname("SERVED_MODEL_NAME")
      ->group(kServer);
  add_count(app, "--drain-timeout", command.drain_timeout,
            "Seconds that a signal leaves to what is under way (default 30)")
      ->type_name("SECONDS")
      ->group(kServer);
}

void add_requests(CLI::App& app, ServeCommand& command) {
  add_string(app, "--default-prompt-name", command.default_prompt_name,
             "Prompt of requests that name none, s2p for example (default none)")
      ->type_name("NAME")
      ->envname("DEFAULT_PROMPT_NAME")
      ->group(kRequests);
  add_string(app, "--default-prompt", command.default_prompt, "The same as a literal text")
      ->envname("DEFAULT_PROMPT")
      ->group(kRequests);
  add_string(app, "--auto-truncate", command.auto_truncate,
             "Cut texts that are too long where a request does not say (default true); false: refuse them")
      ->type_name("true|false")
      ->envname("AUTO_TRUNCATE")
      ->group(kRequests);
  add_string(app, "--token-ids", command.token_ids,
             "Token ids on /v1/embeddings: with this model's special tokens (checked, the default), or any")
      ->type_name("checked|any")
      ->group(kRequests);
  add_count(app, "--request-timeout", command.request_timeout, "Seconds that a request may take (default: no limit)")
      ->type_name("SECONDS")
      ->group(kRequests);
}

void add_limits(CLI::App& app, ServeCommand& command) {
  add_count(app, "--max-concurrent-requests", command.max_concurrent_requests,
            "Texts of all requests together; more are 429 (default 8192)")
      ->envname("MAX_CONCURRENT_REQUESTS")
      ->group(kLimits);
  add_count(app, "--max-client-batch-size", command.max_client_batch_size, "Texts of one request (default 2048)")
      ->envname("MAX_CLIENT_BATCH_SIZE")
      ->group(kLimits);
  add_count(app, "--payload-limit", command.payload_limit, "Bytes of a request's body (default 2000000)")
      ->envname("PAYLOAD_LIMIT")
      ->group(kLimits);
  add_count(app, "--max-connections", command.max_connections, "Connections in all (default 4096)")->group(kLimits);
  add_count(app, "--max-connections-per-address", command.max_connections_per_address,
            "Connections from one address (default 1024)")
      ->group(kLimits);
}

void add_logs(CLI::App& app, ServeCommand& command) {
  app.add_flag("--access-log", command.access_log, "A line for each request, without texts and keys")
      ->envname("ACCESS_LOG")
      ->group(kLogs);
  app.add_flag("--json-output", command.json_output, "Logs as a JSON object a line")
      ->envname("JSON_OUTPUT")
      ->group(kLogs);
  add_string(app, "--otlp-endpoint", command.otlp_endpoint,
             "Send a span for each request to this collector (OTLP over HTTP), http://127.0.0.1:4318 for example")
      ->type_name("URL")
      ->envname("OTLP_ENDPOINT")
      ->group(kLogs);
  add_string(app, "--otlp-service-name", command.otlp_service_name, "What spans call this server (default stella)")
      ->type_name("NAME")
      ->envname("OTLP_SERVICE_NAME")
      ->group(kLogs);
}

}  // namespace

Command add_serve(CLI::App& root) {
  auto command = std::make_shared<ServeCommand>();
  CLI::App* app = root.add_subcommand("serve", "Answer clients of OpenAI and TEI over HTTP");
  app->footer(kFooter);
  add_server(*app, *command);
  add_requests(*app, *command);
  add_limits(*app, *command);
  add_logs(*app, *command);
  add_common(*app, *command->common);
  return {app, command->common, [command](Session& session) { return command->run(session); }};
}

}  // namespace stella::cli
