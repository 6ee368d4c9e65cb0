#include "cli/serve_options.hpp"

#include "cli/serve_values.hpp"
#include "server/limits.hpp"

#include <array>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <utility>

#include <CLI/CLI.hpp>

namespace stella::cli {
namespace {

constexpr const char* kModels = "Models";
constexpr const char* kServer = "Server";
constexpr const char* kRequests = "Requests";
constexpr const char* kLimits = "Limits";
constexpr const char* kLogs = "Logs and traces";

template <class T, class Value>
void set_if(T& target, const std::optional<Value>& value) {
  if (value) target = static_cast<T>(*value);
}

void add_models(CLI::App& app, ServeOptions& options) {
  add_strings(app, "--model,--model-id", options.models,
              "Repository id (org/name@v1 for a revision), directory, or 'demo' for the bundled model; more than once "
              "for several, of which the "
              "first is the one for requests that name none (default " +
                  std::string(kDefaultModel) + ")")
      ->type_name("ID|DIR|demo")
      ->envname("MODEL_ID")
      ->group(kModels);
  add_strings(app, "--allow-model", options.allowed_models,
              "One that is loaded when a request first names it; may be given more than once")
      ->type_name("ID|DIR|demo")
      ->group(kModels);
  add_strings(app, "--served-model-name", options.served_model_names,
              "What clients call the first --model, the second and so on (default: as --model has it)")
      ->type_name("NAME")
      ->envname("SERVED_MODEL_NAME")
      ->group(kModels);
  add_count(app, "--memory-limit", options.memory_limit_mb,
            "MiB that the weights of all models may take; those that nobody uses go for others (default: 80 % of what "
            "this process may use)")
      ->type_name("MIB")
      ->envname("MEMORY_LIMIT")
      ->group(kModels);
  add_count(app, "--idle-unload", options.idle_unload,
            "Seconds without a request after which a model goes from memory (default: it stays)")
      ->type_name("SECONDS")
      ->envname("IDLE_UNLOAD")
      ->group(kModels);
  add_string(app, "--dtype", options.dtype, "TEI's name of --precision; float16 is auto")
      ->type_name("float32|bfloat16|float16")
      ->envname("DTYPE")
      ->group(kModels);
  add_string(app, "--huggingface-hub-cache", options.common->hub_cache,
             "Where models are kept, in place of HF_HUB_CACHE")
      ->type_name("DIR")
      ->envname("HUGGINGFACE_HUB_CACHE")
      ->group(kModels);
  add_string(app, "--hf-token", options.common->hub_token,
             "For gated repositories. Others on this machine can see a program's arguments: better the variable")
      ->type_name("TOKEN")
      ->envname("HF_TOKEN")
      ->group(kModels);
}

void add_server(CLI::App& app, ServeOptions& options) {
  options.host = host_of_environment();
  add_string(app, "--host,--hostname", options.host, "Address to listen on (default 127.0.0.1: this machine only)")
      ->type_name("ADDRESS")
      ->group(kServer);
  add_string(app, "--port", options.port, "Port to listen on; 0: the system chooses one (default 3000)")
      ->type_name("PORT")
      ->envname("PORT")
      ->group(kServer);
  add_string(app, "--unix-socket", options.unix_socket,
             "Listen on a socket in the file system, in place of an address and a port")
      ->type_name("PATH")
      ->group(kServer);
  add_string(app, "--unix-socket-mode", options.unix_socket_mode,
             "Who may use that: 600 this user (default), 660 its group too")
      ->type_name("OCTAL")
      ->group(kServer);
  add_string(app, "--tls-cert", options.tls_cert,
             "PEM file with the server's certificate and those that vouch for it: HTTPS, of TLS 1.2 and up")
      ->type_name("FILE")
      ->group(kServer);
  add_string(app, "--tls-key", options.tls_key, "PEM file with its key")->type_name("FILE")->group(kServer);
  add_strings(app, "--api-key", options.api_keys,
              "A key that clients must send; may be given more than once. Others on this machine can see a "
              "program's arguments: better the variable or a file")
      ->type_name("KEY (Env:API_KEY, STELLA_API_KEY)")
      ->group(kServer);
  add_string(app, "--api-key-file", options.api_key_file, "A file with a key a line")
      ->type_name("FILE")
      ->group(kServer);
  add_strings(app, "--cors-allow-origin", options.cors_origins,
              "Origin whose pages may ask, https://app.example.com for example; more than once or with commas for "
              "several, * for all (default: none)")
      ->type_name("ORIGIN")
      ->envname("CORS_ALLOW_ORIGIN")
      ->group(kServer);
  add_count(app, "--drain-timeout", options.drain_timeout,
            "Seconds that a signal leaves to what is under way (default 30)")
      ->type_name("SECONDS")
      ->group(kServer);
}

void add_requests(CLI::App& app, ServeOptions& options) {
  add_string(app, "--default-prompt-name", options.default_prompt_name,
             "Prompt of requests that name none, s2p for example (default none)")
      ->type_name("NAME")
      ->envname("DEFAULT_PROMPT_NAME")
      ->group(kRequests);
  add_string(app, "--default-prompt", options.default_prompt, "The same as a literal text")
      ->envname("DEFAULT_PROMPT")
      ->group(kRequests);
  add_string(app, "--auto-truncate", options.auto_truncate,
             "Cut texts that are too long where a request does not say (default true); false: refuse them")
      ->type_name("true|false")
      ->envname("AUTO_TRUNCATE")
      ->group(kRequests);
  add_string(app, "--token-ids", options.token_ids,
             "Token ids on /v1/embeddings: with this model's special tokens (checked, the default), or any")
      ->type_name("checked|any")
      ->group(kRequests);
}

/// "max-connections" → "MAX_CONNECTIONS".
std::string variable_of(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

void add_limits(CLI::App& app, ServeOptions& options) {
  const auto& names = server::limit_names();
  options.limits.resize(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    add_count(app, "--" + std::string(names[i].name), options.limits[i], names[i].description)
        ->type_name(names[i].unit)
        ->envname(variable_of(names[i].name))
        ->group(kLimits);
  }
  add_string(app, "--limits-file", options.limits_file,
             "A file with `name = value` lines of the above, which go before the flags; SIGHUP reads it again")
      ->type_name("FILE")
      ->group(kLimits);
}

/// Flags of TEI's that ask for nothing here.
void add_ignored(CLI::App& app, ServeOptions& options) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kIgnored{
      {{"--max-batch-tokens", "TEI's; taken and of no effect: the engine packs texts by their tokens"},
       {"--max-batch-requests", "The same"},
       {"--tokenization-workers", "The same: the threads that compute also tokenize"},
       {"--prometheus-port", "The same: /metrics is on the server's own port"}}};
  options.ignored.resize(kIgnored.size());
  for (std::size_t i = 0; i < kIgnored.size(); ++i) {
    add_count(app, kIgnored.at(i).first, options.ignored[i], kIgnored.at(i).second)
        ->envname(variable_of(std::string(kIgnored.at(i).first).substr(2)))
        ->group(kLimits);
  }
}

void add_logs(CLI::App& app, ServeOptions& options) {
  app.add_flag("--access-log", options.access_log, "A line for each request, without texts and keys")
      ->envname("ACCESS_LOG")
      ->group(kLogs);
  app.add_flag("--json-output", options.json_output, "Logs as a JSON object a line")
      ->envname("JSON_OUTPUT")
      ->group(kLogs);
  add_string(app, "--otlp-endpoint", options.otlp_endpoint,
             "Send a span for each request to this collector (OTLP over HTTP), http://127.0.0.1:4318 for example")
      ->type_name("URL")
      ->envname("OTLP_ENDPOINT")
      ->group(kLogs);
  add_string(app, "--otlp-service-name", options.otlp_service_name, "What spans call this server (default stella)")
      ->type_name("NAME")
      ->envname("OTLP_SERVICE_NAME")
      ->group(kLogs);
}

}  // namespace

server::Options ServeOptions::server_options() const {
  server::Options server;
  const auto take = [&server](const std::vector<std::string>& from, std::vector<std::string>& to) {
    for (const std::string& text : from) {
      const NamedModel model = named_model(text);
      if (model.revision) server.revisions[model.id] = *model.revision;
      to.push_back(model.id);
    }
  };
  take(models.empty() ? std::vector<std::string>{kDefaultModel} : models, server.models);
  take(allowed_models, server.allowed_models);
  server.served_names = served_model_names;
  set_if(server.memory_limit, memory_limit_mb);
  server.memory_limit <<= 20U;
  if (idle_unload) server.idle_unload = std::chrono::seconds(*idle_unload);
  server.host = host;
  server.port = port_number(port);
  server.unix_socket = unix_socket;
  server.unix_socket_mode = socket_mode(unix_socket_mode);
  server.tls_certificate = tls_cert;
  server.tls_key = tls_key;
  server.default_prompt_name = default_prompt_name;
  server.default_prompt = default_prompt;
  server.auto_truncate = choice("--auto-truncate", auto_truncate, {"true", "false"}) == "true";
  server.any_token_ids = choice("--token-ids", token_ids, {"checked", "any"}) == "any";
  server.api_keys = api_keys.empty() ? keys_of_environment() : api_keys;
  if (api_key_file) {
    const auto more = keys_of_file(*api_key_file);
    server.api_keys.insert(server.api_keys.end(), more.begin(), more.end());
  }
  server.cors_origins = split_at_commas(cors_origins);
  const auto& names = server::limit_names();
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (limits[i]) server::set_limit(server, names[i].name, *limits[i]);
  }
  if (limits_file) server::read_limits(server, text_of_file("--limits-file", *limits_file), *limits_file);
  if (drain_timeout) server.drain_timeout = std::chrono::seconds(*drain_timeout);
  server.version = STELLA_VERSION;
  server.access_log = access_log;
  server.json_output = json_output;
  server.otlp_endpoint = otlp_endpoint;
  server.otlp_service_name = otlp_service_name;
  return server;
}

void ServeOptions::complete_common() const {
  if (!models.empty()) {
    const NamedModel first = named_model(models.front());
    common->model = first.id;
    if (first.revision && common->revision != CommonOptions{}.revision && common->revision != *first.revision)
      throw Failure(kBadInput, "both --model " + models.front() + " and --revision " + common->revision +
                                   "; give one revision of it");
    if (first.revision) common->revision = *first.revision;
  }
  if (dtype && common->precision != "auto") throw Failure(kBadInput, "both --dtype and --precision; give one of them");
  if (dtype) common->precision = precision_of_dtype(*dtype);
}

void add_serve_options(CLI::App& app, ServeOptions& options) {
  add_models(app, options);
  add_server(app, options);
  add_requests(app, options);
  add_limits(app, options);
  add_ignored(app, options);
  add_logs(app, options);
  add_common(app, *options.common, ModelArgument::none);
  app.get_option("--revision")
      ->description("Branch, tag or commit of the first --model (default main); of others: ID@REVISION")
      ->envname("REVISION");
}

}  // namespace stella::cli
