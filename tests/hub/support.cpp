#include "hub/support.hpp"

#include "stella/log.hpp"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace stella::test {
namespace {

void expect_no_token(const std::string& text) {
  EXPECT_EQ(text.find(kToken), std::string::npos) << "the token leaked: " << text;
}

}  // namespace

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw std::system_error(errno, std::generic_category(), "cannot read " + path.string());
  }
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void write_file(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> tree(const fs::path& root) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    paths.push_back(entry.path().lexically_relative(root).generic_string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size + 8, '\0');
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), 8, bytes.begin() + static_cast<std::ptrdiff_t>(i));
  }
  bytes.resize(size);
  return bytes;
}

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  if (outcome.ok()) {
    return out << outcome.path;
  }
  return out << make_error_code(*outcome.error).message() << ": " << outcome.what << " (status "
             << outcome.context.http_status << ", cause: " << outcome.context.cause << ")";
}

Download::Download(hub::Client& client, hub::FileRequest request, ProgressCallback on_progress) {
  auto promise = std::make_shared<std::promise<Outcome>>();
  result_ = promise->get_future();
  client.get_file(std::move(request), stop_.get_token(), std::move(on_progress),
                  [promise](std::exception_ptr error, fs::path path) {
                    Outcome outcome;
                    outcome.path = std::move(path);
                    if (error) {
                      try {
                        std::rethrow_exception(error);
                      } catch (const Error& known) {
                        outcome.error = known.errc();
                        outcome.what = known.what();
                        outcome.context = known.context();
                        for (const std::string& text : {outcome.what, known.context().url, known.context().cause,
                                                        known.context().file, known.context().request_id}) {
                          expect_no_token(text);
                        }
                        EXPECT_EQ(outcome.what.find('\n'), std::string::npos) << "more than one line: " << outcome.what;
                      } catch (const std::exception& other) {
                        ADD_FAILURE() << "not a stella::Error: " << other.what();
                        outcome.error = Errc::io_error;
                      }
                    }
                    promise->set_value(std::move(outcome));
                  });
}

Outcome Download::wait() {
  if (result_.wait_for(std::chrono::seconds(120)) != std::future_status::ready) {
    throw std::runtime_error("get_file() did not complete within two minutes");
  }
  return result_.get();
}

Process::Process(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  std::vector<char*> arguments;
  for (const std::string& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  std::vector<std::string> settings;
  for (const auto& [name, value] : environment) {
    settings.push_back(name + "=" + value);
  }
  std::vector<char*> variables;
  for (std::string& setting : settings) {
    variables.push_back(setting.data());
  }
  variables.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  const int failed = posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  output_fd_ = ends[0];
  if (failed != 0) {
    throw std::system_error(failed, std::generic_category(), command[0]);
  }
}

Process::~Process() {
  kill();
  close(output_fd_);
}

void Process::kill() {
  if (!done_ && pid_ > 0) {
    ::kill(pid_, SIGKILL);
    wait();
  }
}

// Not ru_maxrss of wait4(2), which counts this process's memory too, from before the exec.
std::uint64_t Process::peak_bytes() const {
  std::ifstream in("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmHWM:")) {
      return std::stoull(line.substr(6)) * 1024;
    }
  }
  return 0;
}

bool Process::running() {
  if (!done_ && waitpid(pid_, &status_, WNOHANG) == pid_) {
    done_ = true;
  }
  return !done_;
}

int Process::wait() {
  char buffer[4096];
  for (ssize_t got = 0; (got = read(output_fd_, buffer, sizeof buffer)) > 0;) {
    output_.append(buffer, static_cast<std::size_t>(got));
  }
  if (!done_) {
    waitpid(pid_, &status_, 0);
    done_ = true;
  }
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

const std::string& Process::output() {
  wait();
  return output_;
}

HubTest::HubTest(HubServerOptions server) : hub_(server) {
  changed_.endpoint = hub_.endpoint();
  changed_.cache_dir = cache();
  changed_.ca_file = hub_.ca_file();
  tuning_.retries.first = std::chrono::milliseconds(20);
  tuning_.retries.longest = std::chrono::milliseconds(100);
  changed_.token = kToken;
  changed_.etag_timeout = std::chrono::seconds(10);
  changed_.download_timeout = std::chrono::seconds(10);
  set_log_sink([](LogLevel, std::string_view line) { expect_no_token(std::string(line)); });
}

HubTest::~HubTest() {
  restart_client();
  set_log_sink({});
}

HubOptions HubTest::options() const {
  return changed_;
}

hub::FileRequest HubTest::request(const std::string& file, const std::string& revision) {
  return {kRepo, revision, file, std::make_shared<HubOptions>(changed_)};
}

hub::Client& HubTest::client() {
  if (!client_) {
    client_ = std::make_unique<hub::Client>(pool_, tuning_);
  }
  return *client_;
}

std::unique_ptr<Process> HubTest::spawn_get(const std::string& file, const std::string& revision,
                                            std::map<std::string, std::string> environment) {
  environment.try_emplace("HF_ENDPOINT", hub_.endpoint());
  environment.try_emplace("HF_HUB_CACHE", cache().string());
  environment.try_emplace("HOME", dir_.path().string());
  return std::make_unique<Process>(std::vector<std::string>{STELLA_HUB_GET, kRepo, revision, file}, environment);
}

std::vector<std::string> HubTest::partials() const {
  std::vector<std::string> names;
  if (!fs::exists(repo_folder() / "blobs")) {
    return names;
  }
  for (const auto& entry : fs::directory_iterator(repo_folder() / "blobs")) {
    const std::string name = entry.path().filename().string();
    if ((name.size() != 40 && name.size() != 64) || name.find_first_not_of("0123456789abcdef") != std::string::npos) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace stella::test
