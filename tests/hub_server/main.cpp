// hub_server: the test hub as a program. Prints its port as one line, takes commands on standard input, one a line, and
// ends when that closes:
//   fault SPEC | clear | expire | suspend | resume | permit GATE [N] | release GATE | wait GATE [TIMES]
//   revision REPO REVISION DIRECTORY | remove REPO | log | clear-log | info | quit
// Each is answered by one line: "ok" with what was asked for, as JSON, or "error" with the reason.
#include "base/json.hpp"
#include "hub_server.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace {

using stella::test::HubServer;
using stella::test::Port;
using stella::test::Tls;

std::string log_json(const HubServer& hub) {
  stella::json::array all;
  for (const auto& request : hub.log()) {
    stella::json::object headers;
    for (const auto& [name, value] : request.headers) {
      headers[name] = value;
    }
    all.push_back({{"port", request.port == Port::hub ? "hub" : "cdn"},
                   {"connection", request.connection},
                   {"method", request.method},
                   {"target", request.target},
                   {"path", request.path},
                   {"headers", headers},
                   {"status", request.status},
                   {"body_bytes", request.body_bytes},
                   {"faulted", request.faulted}});
  }
  return stella::json::serialize(all);
}

std::string info_json(const HubServer& hub) {
  return stella::json::serialize(stella::json::object{{"endpoint", hub.endpoint()},
                                                      {"cdn", hub.cdn_endpoint()},
                                                      {"ca_file", hub.ca_file().string()},
                                                      {"faults_applied", hub.faults_applied()},
                                                      {"connections", hub.open_connections()}});
}

/// Carries out one command and gives what follows "ok".
std::string obey(HubServer& hub, const std::string& line) {
  std::istringstream in(line);
  std::string verb;
  std::string name;
  in >> verb;
  if (verb == "fault") {
    std::getline(in >> std::ws, name);
    hub.inject(stella::test::parse_fault(name));
  } else if (verb == "clear") {
    hub.clear_faults();
  } else if (verb == "expire") {
    hub.expire_signed_urls();
  } else if (verb == "suspend") {
    hub.suspend();
  } else if (verb == "resume") {
    hub.resume();
  } else if (verb == "permit" || verb == "release" || verb == "wait") {
    std::size_t times = 1;
    in >> name >> times;
    if (verb == "permit") {
      hub.permit(name, times == 0 ? 1 : times);
    } else if (verb == "release") {
      hub.release(name);
    } else if (!hub.wait_at_gate(name, times == 0 ? 1 : times)) {
      throw std::runtime_error("no body came to the gate " + name);
    }
  } else if (verb == "revision") {
    std::string revision;
    std::string directory;
    in >> name >> revision;
    std::getline(in >> std::ws, directory);
    return hub.add_revision(name, revision, std::filesystem::path(directory));
  } else if (verb == "remove") {
    in >> name;
    hub.remove_repo(name);
  } else if (verb == "log") {
    return log_json(hub);
  } else if (verb == "clear-log") {
    hub.clear_log();
  } else if (verb == "info") {
    return info_json(hub);
  } else {
    throw std::runtime_error("no such command: " + verb);
  }
  return {};
}

/// "org/name=DIR" or "org/name@revision=DIR".
void add_repo(HubServer& hub, const std::string& spec) {
  const auto equals = spec.find('=');
  if (equals == std::string::npos) {
    throw std::runtime_error("--repo takes NAME[@REVISION]=DIRECTORY, not '" + spec + "'");
  }
  const std::string name = spec.substr(0, equals);
  const auto at = name.find('@');
  hub.add_revision(name.substr(0, at), at == std::string::npos ? "main" : name.substr(at + 1),
                   std::filesystem::path(spec.substr(equals + 1)));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A model hub on two loopback ports, for tests.");
  stella::test::HubServerOptions options;
  std::vector<std::string> repos;
  std::vector<std::string> faults;
  std::vector<std::string> gated;
  std::string ca_out;
  int url_seconds = 0;
  app.add_option("--repo", repos, "NAME[@REVISION]=DIRECTORY; repeatable")->required();
  app.add_option("--fault", faults, "A fault, for example port=cdn,path=model,cut_at=1000,reset; repeatable");
  app.add_option("--gated", gated, "NAME=TOKEN: a repository that needs this token; repeatable");
  app.add_option("--rate", options.rate_per_connection, "Bytes per second of each connection; 0: unlimited");
  app.add_option("--large-from", options.large_from, "Bytes from which a file is served by the CDN");
  app.add_option("--page-size", options.page_size, "Entries on one page of a listing");
  app.add_option("--url-seconds", url_seconds, "Life of a signed URL; 0: for ever");
  app.add_flag("--xet", options.xet_headers, "Send X-Xet-* headers");
  const std::map<std::string, Tls> kinds = {
      {"off", Tls::off}, {"trusted", Tls::trusted}, {"untrusted", Tls::untrusted}, {"wrong_host", Tls::wrong_host}};
  app.add_option("--tls", options.tls, "off, trusted, untrusted or wrong_host")->transform(CLI::Transformer(kinds));
  app.add_option("--ca-out", ca_out, "Where to write the certificate authority (PEM)");
  CLI11_PARSE(app, argc, argv);
  options.url_lifetime = std::chrono::seconds(url_seconds);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    HubServer hub(options);
    for (const std::string& repo : repos) {
      add_repo(hub, repo);
    }
    for (const std::string& fault : faults) {
      hub.inject(stella::test::parse_fault(fault));
    }
    for (const std::string& entry : gated) {
      hub.set_gated(entry.substr(0, entry.find('=')), entry.substr(entry.find('=') + 1));
    }
    if (!ca_out.empty() && !hub.ca_file().empty()) {
      std::filesystem::copy_file(hub.ca_file(), ca_out, std::filesystem::copy_options::overwrite_existing);
    }
    std::cout << hub.port() << std::endl;
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
      try {
        const std::string answer = obey(hub, line);
        std::cout << "ok " << answer << std::endl;
      } catch (const std::exception& error) {
        std::cout << "error " << error.what() << std::endl;
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "hub_server: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
