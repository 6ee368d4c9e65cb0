#include "cli/serve_run.hpp"

#include "server/observe/logs.hpp"
#include "server/workers.hpp"
#include "stella/detail/patience.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <poll.h>
#include <string_view>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utility>

namespace stella::cli {
namespace {

std::string json_remark(LogLevel level, std::string_view line) {
  return server::json_line(level, line, std::chrono::system_clock::now());
}

/// Where to find what listens on all addresses: on this machine, for example.
std::string reachable(std::string url) {
  for (const auto& [all, own] : {std::pair("//0.0.0.0:", "//127.0.0.1:"), std::pair("//[::]:", "//[::1]:")}) {
    const std::size_t at = url.find(all);
    if (at != std::string::npos) url.replace(at, std::string_view(all).size(), own);
  }
  return url;
}

/// "demo", "demo and 2 more"
std::string names_of(const server::Options& options) {
  const std::string& first = options.served_names.empty() ? options.models.front() : options.served_names.front();
  const std::size_t more = options.models.size() + options.allowed_models.size() - 1;
  return first + (more == 0 ? "" : " and " + std::to_string(more) + " more");
}

/// The beginning of a command that asks the server.
std::string curl_of(const std::string& url) {
  constexpr std::string_view kUnix = "unix:";
  if (url.starts_with(kUnix)) return "curl --unix-socket " + url.substr(kUnix.size()) + " http://localhost";
  // Its certificate is hardly for the address itself.
  return (url.starts_with("https:") ? "curl --insecure " : "curl ") + url;
}

}  // namespace

void log_as_json(LogLevel least) {
  set_log_sink([least](LogLevel level, std::string_view line) {
    if (level >= least) std::fprintf(stderr, "%s\n", json_remark(level, line).c_str());
  });
}

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
    detail::with_patience([this] { on_signal(); });
    if (info.ssi_signo == SIGHUP) return reload();
    if (draining_) ::_exit(128 + static_cast<int>(info.ssi_signo));
    draining_ = true;
    // Whatever else there is no memory for, a signal ends the program: what was lost on the way is not waited for.
    constexpr std::chrono::seconds kGrace{5};
    std::signal(SIGALRM, [](int) { ::_exit(0); });
    ::alarm(static_cast<unsigned>((std::chrono::ceil<std::chrono::seconds>(options_.drain_timeout) + kGrace).count()));
    detail::with_patience([this] { server_.drain([this] { end(); }); });
    say("answers what was sent, then ends; a second signal ends it at once");
  });
}

void ServeRun::reload() {
  if (draining_) return;
  try {
    server_.reload(read_());
    say("has read its files again: keys, certificates and limits");
  } catch (const std::exception& error) {
    say("goes on with the keys, certificates and limits that it has: " + std::string(error.what()));
  }
}

/// From here on signals end the program in the system's own way.
void ServeRun::end() {
  sigset_t blocked;
  sigemptyset(&blocked);
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  signals_.close();
  pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
}

/// A reader who does not read loses the line, and does not hold the server up.
void ServeRun::say(const std::string& line) const {
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&ready, 1, 0) == 0) return;
  std::fprintf(stderr, "%s\n", (options_.json_output ? json_remark(LogLevel::info, line) : "stella: " + line).c_str());
}

std::string ServeRun::how_to_try() const {
  const std::string url = reachable(server_.url());
  const std::string key = options_.api_keys.empty() ? "" : " -H \"Authorization: Bearer $STELLA_API_KEY\"";
  const std::string page = url.starts_with("http") ? " a page to try it is at " + url + "/;" : "";
  return "ready;" + page + " in a terminal, try: " + curl_of(url) + "/v1/embeddings" + key +
         " -H 'Content-Type: application/json' -d '{\"input\":\"What are safetensors?\"}'";
}

void ServeRun::run(Screen& screen) {
  watch_signals();
  say("listening on " + server_.url() + "; loads " + names_of(options_));
  server_.start([this, &screen](std::exception_ptr error) {
    if (draining_) return;
    if (error) {
      failure_ = std::move(error);
      server_.drain([this] { end(); });
      return;
    }
    screen.display().close();
    say(how_to_try());
  });
  server::run_all(io_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace stella::cli
