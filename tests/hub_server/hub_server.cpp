#include "hub_server.hpp"

#include "state.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <csignal>
#include <fstream>
#include <netinet/in.h>
#include <poll.h>
#include <random>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace stella::test {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }
  int get() const noexcept { return fd_; }
  void reset() {
    if (fd_ >= 0) {
      close(fd_);
    }
    fd_ = -1;
  }

 private:
  int fd_;
};

/// A socket bound to a loopback port (0: any free one).
Descriptor bind_loopback(std::uint16_t& port) {
  Descriptor bound(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(bound.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(bound.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(bound.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::system_error(errno, std::generic_category(), "hub server: cannot bind a loopback port");
  }
  port = ntohs(address.sin_port);
  return bound;
}

/// Keeps a port for the server while it is suspended: bound, never listening.
struct Listener {
  Descriptor keeper{};
  Descriptor socket{};

  void start(std::uint16_t& port) {
    if (keeper.get() < 0) {
      keeper = bind_loopback(port);
    }
    socket = bind_loopback(port);
    if (listen(socket.get(), 1024) != 0) {
      throw std::system_error(errno, std::generic_category(), "hub server: cannot listen");
    }
  }
};

}  // namespace

std::string State::endpoint(Port which) const {
  const bool cdn = which == Port::cdn;
  return std::string(options.tls == Tls::off ? "http://" : "https://") +
         (cdn && options.cdn_on_other_host ? "localhost" : "127.0.0.1") + ":" +
         std::to_string(cdn ? cdn_port : hub_port);
}

bool State::sleep_until(std::chrono::steady_clock::time_point when) const {
  std::unique_lock lock(mutex);
  return !changed.wait_until(lock, when, [&] { return stopping || suspended; });
}

struct HubServer::Impl {
  std::shared_ptr<State> state = std::make_shared<State>();
  Listener hub{};
  Listener cdn{};
  Descriptor wake{eventfd(0, EFD_CLOEXEC)};
  std::filesystem::path ca_file{};
  bool listening = true;  // guarded by state->mutex
  std::thread acceptor{};

  void accept_loop();
  void accept_one(int listener, Port port);
  void notify() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake.get(), &one, sizeof one);
  }
  std::string add(const std::string& repo, const std::string& revision, std::map<std::string, BlobPtr> files,
                  const std::string& commit);
};

void HubServer::Impl::accept_one(int listener, Port port) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) {
    return;
  }
  auto stream = std::make_unique<Stream>(fd);
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(state->mutex);
    state->streams.insert(stream.get());
    number = state->connections++;
    ++state->threads;
  }
  std::thread([shared = state, owned = std::move(stream), port, number]() mutable {
    if (shared->options.tls == Tls::off || owned->start_tls(shared->tls.context.get())) {
      serve(*shared, *owned, port, number);
    }
    {
      const std::lock_guard lock(shared->mutex);
      shared->streams.erase(owned.get());
    }
    owned.reset();
    const std::lock_guard lock(shared->mutex);
    --shared->threads;
    shared->changed.notify_all();
  }).detach();
}

void HubServer::Impl::accept_loop() {
  // sendfile(2) and OpenSSL know no MSG_NOSIGNAL; the threads made here inherit this mask.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  while (true) {
    pollfd polled[3] = {{wake.get(), POLLIN, 0}, {hub.socket.get(), POLLIN, 0}, {cdn.socket.get(), POLLIN, 0}};
    poll(polled, 3, -1);
    if ((polled[0].revents & POLLIN) != 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto got = read(wake.get(), &count, sizeof count);
      const std::lock_guard lock(state->mutex);
      if (state->stopping) {
        return;
      }
      if (state->suspended && listening) {
        hub.socket.reset();
        cdn.socket.reset();
        listening = false;
      } else if (!state->suspended && !listening) {
        hub.start(state->hub_port);
        cdn.start(state->cdn_port);
        listening = true;
      }
      state->changed.notify_all();
      continue;
    }
    if ((polled[1].revents & POLLIN) != 0) {
      accept_one(hub.socket.get(), Port::hub);
    }
    if ((polled[2].revents & POLLIN) != 0) {
      accept_one(cdn.socket.get(), Port::cdn);
    }
  }
}

HubServer::HubServer(HubServerOptions options) : impl_(std::make_unique<Impl>()) {
  State& state = *impl_->state;
  state.options = options;
  state.rate = options.rate_per_connection;
  std::random_device random;
  for (int i = 0; i < 4; ++i) {
    state.secret += std::to_string(random());
  }
  impl_->hub.start(state.hub_port);
  impl_->cdn.start(state.cdn_port);
  if (options.tls != Tls::off) {
    state.tls = make_tls_identity(options.tls);
    impl_->ca_file =
        std::filesystem::temp_directory_path() / ("hub-ca-" + sha256_hex(state.secret).substr(0, 16) + ".pem");
    std::ofstream(impl_->ca_file) << state.tls.ca_pem;
  }
  impl_->acceptor = std::thread([this] { impl_->accept_loop(); });
}

HubServer::~HubServer() {
  State& state = *impl_->state;
  {
    const std::lock_guard lock(state.mutex);
    state.stopping = true;
    state.changed.notify_all();
  }
  impl_->notify();
  impl_->acceptor.join();
  std::unique_lock lock(state.mutex);
  for (Stream* stream : state.streams) {
    stream->shutdown();
  }
  state.changed.wait(lock, [&] { return state.threads == 0; });
  lock.unlock();
  if (!impl_->ca_file.empty()) {
    std::error_code ignored;
    std::filesystem::remove(impl_->ca_file, ignored);
  }
}

std::string HubServer::endpoint() const {
  return impl_->state->endpoint(Port::hub);
}
std::string HubServer::cdn_endpoint() const {
  return impl_->state->endpoint(Port::cdn);
}
std::uint16_t HubServer::port() const {
  return impl_->state->hub_port;
}
std::uint16_t HubServer::cdn_port() const {
  return impl_->state->cdn_port;
}
std::filesystem::path HubServer::ca_file() const {
  return impl_->ca_file;
}

std::string HubServer::Impl::add(const std::string& repo, const std::string& revision,
                                 std::map<std::string, BlobPtr> files, const std::string& commit) {
  const std::lock_guard lock(state->mutex);
  for (const auto& [path, blob] : files) {
    if (blob->large) {
      state->blobs[blob->sha256] = blob;
    }
  }
  const RevisionPtr made = make_revision(std::move(files), commit);
  Repo& target = state->repos[repo];
  target.by_commit[made->commit] = made;
  if (revision != made->commit) {
    target.by_name[revision] = made;
  }
  return made->commit;
}

std::string HubServer::add_revision(const std::string& repo, const std::string& revision,
                                    const std::filesystem::path& directory, const std::string& commit) {
  std::map<std::string, BlobPtr> files;
  for (const std::string& path : files_below(directory)) {
    const bool large = path.ends_with(".safetensors") ||
                       std::filesystem::file_size(directory / path) >= impl_->state->options.large_from;
    files[path] = make_blob(directory / path, large);
  }
  return impl_->add(repo, revision, std::move(files), commit);
}

std::string HubServer::add_revision(const std::string& repo, const std::string& revision,
                                    const std::map<std::string, std::string>& files, const std::string& commit) {
  std::map<std::string, BlobPtr> blobs;
  for (const auto& [path, content] : files) {
    const bool large = path.ends_with(".safetensors") || content.size() >= impl_->state->options.large_from;
    blobs[path] = make_blob(content, large);
  }
  return impl_->add(repo, revision, std::move(blobs), commit);
}

void HubServer::remove_repo(const std::string& repo) {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->repos.erase(repo);
}

void HubServer::set_private(const std::string& repo, const std::string& token) {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->repos[repo].is_private = true;
  impl_->state->repos[repo].token = token;
}

void HubServer::set_gated(const std::string& repo, const std::string& token) {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->repos[repo].gated = true;
  impl_->state->repos[repo].token = token;
}

std::string HubServer::etag(const std::string& repo, const std::string& revision, const std::string& file) const {
  const std::lock_guard lock(impl_->state->mutex);
  const RevisionPtr found = impl_->state->repos.at(repo).find(revision);
  if (!found) {
    throw std::out_of_range("hub server: no revision " + revision);
  }
  return found->files.at(file)->etag();
}

void HubServer::inject(Fault fault) {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->faults.push_back({std::move(fault), 0, 0});
}

void HubServer::clear_faults() {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->faults.clear();
  impl_->state->faults_applied = 0;
}

std::size_t HubServer::faults_applied() const {
  const std::lock_guard lock(impl_->state->mutex);
  return impl_->state->faults_applied;
}

void HubServer::expire_signed_urls() {
  const std::lock_guard lock(impl_->state->mutex);
  ++impl_->state->url_generation;
}

void HubServer::set_rate(std::uint64_t bytes_per_second_per_connection) {
  impl_->state->rate = bytes_per_second_per_connection;
}

void HubServer::suspend() {
  State& state = *impl_->state;
  std::unique_lock lock(state.mutex);
  state.suspended = true;
  state.changed.notify_all();
  impl_->notify();
  state.changed.wait(lock, [&] { return !impl_->listening; });
  for (Stream* stream : state.streams) {
    stream->shutdown();
  }
  state.changed.wait(lock, [&] { return state.threads == 0; });
}

void HubServer::resume() {
  State& state = *impl_->state;
  std::unique_lock lock(state.mutex);
  state.suspended = false;
  impl_->notify();
  state.changed.wait(lock, [&] { return impl_->listening; });
}

void HubServer::permit(const std::string& gate, std::uint64_t stops) {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->gates[gate].permits += stops;
  impl_->state->changed.notify_all();
}

void HubServer::release(const std::string& gate) {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->gates[gate].open = true;
  impl_->state->changed.notify_all();
}

bool HubServer::wait_at_gate(const std::string& gate, std::size_t times, std::chrono::milliseconds limit) const {
  State& state = *impl_->state;
  std::unique_lock lock(state.mutex);
  return state.changed.wait_for(lock, limit, [&] { return state.gates[gate].stops >= times; });
}

std::vector<Request> HubServer::log() const {
  const std::lock_guard lock(impl_->state->mutex);
  std::vector<Request> copy;
  for (const auto& record : impl_->state->log) {
    copy.push_back(*record);
  }
  return copy;
}

void HubServer::clear_log() {
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->log.clear();
}

std::size_t HubServer::count(Port port, const std::string& method, const std::string& path) const {
  const std::vector<Request> all = log();
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const Request& request) {
    return (port == Port::any || request.port == port) && (method.empty() || request.method == method) &&
           request.path.find(path) != std::string::npos;
  }));
}

std::uint64_t HubServer::body_bytes(const std::string& path) const {
  std::uint64_t sum = 0;
  for (const Request& request : log()) {
    if ((request.status == 200 || request.status == 206) && request.path.find(path) != std::string::npos) {
      sum += request.body_bytes;
    }
  }
  return sum;
}

std::size_t HubServer::open_connections() const {
  const std::lock_guard lock(impl_->state->mutex);
  return impl_->state->streams.size();
}

}  // namespace stella::test
