// One connection: requests in, answers out, broken as the faults say.
#include "state.hpp"

#include <algorithm>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

namespace stella::test {
namespace {

using Clock = std::chrono::steady_clock;

class File {
 public:
  explicit File(const std::filesystem::path& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

/// The first fault that matches and has uses left, counted as used.
std::optional<Fault> take_fault(State& state, Port port, const RequestHead& request, const std::string& path) {
  const std::string_view range = request.header("range");
  const std::lock_guard lock(state.mutex);
  for (ActiveFault& active : state.faults) {
    const Fault& fault = active.fault;
    if ((fault.port != Port::any && fault.port != port) || (!fault.method.empty() && fault.method != request.method) ||
        path.find(fault.path) == std::string::npos ||
        (fault.only_ranges && (range.empty() || range.starts_with("bytes=0-")))) {
      continue;
    }
    if (active.seen++ < fault.skip || active.applied >= fault.times) {
      continue;
    }
    ++active.applied;
    ++state.faults_applied;
    if (fault.expire_urls) {
      ++state.url_generation;
    }
    return fault;
  }
  return std::nullopt;
}

/// Which bytes of which content an answer carries.
struct Body {
  const Blob* blob = nullptr;
  std::string_view bytes{};  ///< Where there is no blob.
  std::uint64_t first = 0;   ///< Of the blob.
  std::uint64_t size = 0;
};

class Connection {
 public:
  Connection(State& state, Stream& stream, Port port, std::uint64_t number)
      : state_(state), stream_(stream), port_(port), number_(number) {}

  void run() {
    while (auto request = stream_.read_request()) {
      if (!handle(*request)) {
        return;
      }
    }
  }

 private:
  bool handle(const RequestHead& request);
  bool respond(const RequestHead& request, Answer answer, const Fault& fault);
  void apply_range(const RequestHead& request, const Fault& fault, Answer& answer, Body& body);
  bool send_body(const Body& body, const Fault& fault);
  bool send_part(const Body& body, const File& file, std::uint64_t offset, std::size_t size, const Fault& fault);
  bool pass_gate(const std::string& gate);
  bool stall();
  bool end(bool reset);

  State& state_;
  Stream& stream_;
  Port port_;
  std::uint64_t number_;
  std::shared_ptr<Request> record_;
  bool ended_ = false;  ///< finish() or reset() has been called.
};

bool Connection::handle(const RequestHead& request) {
  Answer answer = port_ == Port::hub ? answer_hub(state_, request) : answer_cdn(state_, request);
  const std::optional<Fault> found = take_fault(state_, port_, request, answer.path);
  if (found && found->expire_urls) {
    answer = port_ == Port::hub ? answer_hub(state_, request) : answer_cdn(state_, request);
  }
  record_ = std::make_shared<Request>(
      Request{port_, number_, request.method, request.target, answer.path, request.headers, 0, 0, found.has_value()});
  {
    const std::lock_guard lock(state_.mutex);
    state_.log.push_back(record_);
  }
  const Fault fault = found.value_or(Fault{});
  if (fault.delay.count() > 0 && !state_.sleep_until(Clock::now() + fault.delay)) {
    return false;
  }
  if (fault.close_at_once) {
    return end(fault.reset);
  }
  if (!fault.raw.empty()) {
    stream_.write(fault.raw);
    return end(false);
  }
  const bool keep = respond(request, std::move(answer), fault) && lower(request.header("connection")) != "close";
  if (!keep && !ended_) {
    stream_.finish();
  }
  return keep;
}

bool Connection::end(bool reset) {
  ended_ = true;
  if (reset) {
    stream_.reset();
  } else {
    stream_.finish();
  }
  return false;
}

void Connection::apply_range(const RequestHead& request, const Fault& fault, Answer& answer, Body& body) {
  body.blob = answer.blob.get();
  body.size = answer.blob->size;
  ByteRange range;
  const RangeKind kind =
      fault.ignore_range ? RangeKind::none : parse_range(request.header("range"), answer.blob->size, range);
  if (kind == RangeKind::unsatisfiable) {
    answer.status = 416;
    answer.headers.set("Content-Range", "bytes */" + std::to_string(answer.blob->size));
    body = {};
  } else if (kind == RangeKind::satisfiable) {
    const std::uint64_t size = answer.blob->size;
    const auto moved = [&](std::int64_t by) {
      return std::min(range.first + static_cast<std::uint64_t>(by), size - 1);
    };
    const std::uint64_t said = fault.lie_about_range != 0 ? moved(fault.lie_about_range) : range.first;
    const std::uint64_t last = std::max(range.last, said);
    answer.status = 206;
    answer.headers.set("Content-Range",
                       "bytes " + std::to_string(said) + "-" + std::to_string(last) + "/" + std::to_string(size));
    body.size = last - said + 1;
    body.first = fault.shift_body != 0 ? std::min(moved(fault.shift_body), size - body.size) : said;
    if (fault.shift_body != 0 && body.first == range.first && body.first > 0) {
      --body.first;
    }
  }
}

bool Connection::respond(const RequestHead& request, Answer answer, const Fault& fault) {
  Body body;
  if (fault.redirect_to_self) {
    answer.status = 307;
    answer.blob = nullptr;
    answer.headers.set("Location", request.target);
  } else if (fault.status != 0) {
    answer.status = fault.status;
    answer.blob = nullptr;
    answer.headers = {};
    answer.headers.set("X-Request-Id", "fault");
    answer.body = fault.body;
  }
  if (answer.blob) {
    apply_range(request, fault, answer, body);
  } else {
    body.bytes = answer.body;
    body.size = answer.body.size();
  }
  if (fault.chunked) {
    answer.headers.set("Transfer-Encoding", "chunked");
  } else {
    answer.headers.set(
        "Content-Length",
        std::to_string(static_cast<std::uint64_t>(static_cast<std::int64_t>(body.size) + fault.length_delta)));
  }
  for (const auto& [name, value] : fault.headers) {
    if (value == "-") {
      answer.headers.remove(name);
    } else {
      answer.headers.set(name, value);
    }
  }
  {
    const std::lock_guard lock(state_.mutex);
    record_->status = answer.status;
  }
  const std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " " + std::string(reason(answer.status)) +
                           "\r\n" + answer.headers.text() + "\r\n";
  if (request.method == "HEAD") {
    return stream_.write(head);
  }
  return stream_.write(head) && send_body(body, fault) && fault.length_delta == 0;
}

bool Connection::send_body(const Body& body, const Fault& fault) {
  const File file(body.blob != nullptr ? body.blob->path : std::filesystem::path("/dev/null"));
  const auto start = Clock::now();
  std::uint64_t stop = fault.gate.empty() ? kNever : fault.gate_at;
  std::uint64_t sent = 0;
  while (true) {
    if (sent == fault.cut_at) {
      return end(fault.reset);
    }
    if (sent == fault.stall_at) {
      return stall();
    }
    if (sent == stop) {
      if (!pass_gate(fault.gate)) {
        return false;
      }
      stop = fault.gate_step == 0 ? kNever : stop + fault.gate_step;
    }
    if (sent == body.size) {
      return !fault.chunked || stream_.write("0\r\n\r\n");
    }
    const std::uint64_t rate = fault.rate != 0 ? fault.rate : state_.rate.load();
    const std::uint64_t most = fault.drip_bytes != 0 ? fault.drip_bytes : rate != 0 ? 64 * 1024 : 1024 * 1024;
    const std::uint64_t until = std::min({body.size, fault.cut_at, fault.stall_at, stop});
    const auto step = static_cast<std::size_t>(std::min(most, until - sent));
    if (!send_part(body, file, sent, step, fault)) {
      return false;
    }
    sent += step;
    {
      const std::lock_guard lock(state_.mutex);
      record_->body_bytes = sent;
    }
    auto wake = Clock::time_point::min();
    if (fault.drip_every.count() > 0) {
      wake = Clock::now() + fault.drip_every;
    } else if (rate != 0) {
      const auto due = std::chrono::duration<double>(static_cast<double>(sent) / static_cast<double>(rate));
      wake = start + std::chrono::duration_cast<Clock::duration>(due);
    }
    if (wake > Clock::now() && !state_.sleep_until(wake)) {
      return false;
    }
  }
}

/// Bytes [offset, offset + size) of the body.
bool Connection::send_part(const Body& body, const File& file, std::uint64_t offset, std::size_t size,
                           const Fault& fault) {
  const std::uint64_t first = body.first + offset;
  const bool flip = body.blob != nullptr && fault.flip_at >= first && fault.flip_at - first < size;
  const bool on_disk = body.blob != nullptr && !body.blob->path.empty();
  if (on_disk && !flip && !fault.chunked) {
    return stream_.send_file(file.fd(), first, size);
  }
  std::string copy;
  std::string_view bytes = body.blob == nullptr ? body.bytes : std::string_view(body.blob->bytes);
  if (on_disk) {
    copy.resize(size);
    if (pread(file.fd(), copy.data(), size, static_cast<off_t>(first)) != static_cast<ssize_t>(size)) {
      return false;
    }
  } else {
    bytes = bytes.substr(first, size);
  }
  if (flip) {
    if (copy.empty()) {
      copy = bytes;
    }
    copy[fault.flip_at - first] = static_cast<char>(copy[fault.flip_at - first] ^ 1);
  }
  if (!copy.empty()) {
    bytes = copy;
  }
  if (fault.chunked) {
    char length[32];
    const int digits = std::snprintf(length, sizeof length, "%zx\r\n", size);
    return stream_.write({length, static_cast<std::size_t>(digits)}) && stream_.write(bytes) && stream_.write("\r\n");
  }
  return stream_.write(bytes);
}

bool Connection::pass_gate(const std::string& gate) {
  std::unique_lock lock(state_.mutex);
  ++state_.gates[gate].stops;
  state_.changed.notify_all();
  while (true) {
    GateState& state = state_.gates[gate];
    if (state_.stopping || stream_.peer_gone()) {
      return false;
    }
    if (state.open) {
      return true;
    }
    if (state.permits > 0) {
      --state.permits;
      return true;
    }
    state_.changed.wait_for(lock, std::chrono::milliseconds(20));
  }
}

bool Connection::stall() {
  while (!stream_.peer_gone() && state_.sleep_until(Clock::now() + std::chrono::milliseconds(20))) {
  }
  return false;
}

}  // namespace

void serve(State& state, Stream& stream, Port port, std::uint64_t connection) {
  Connection(state, stream, port, connection).run();
}

}  // namespace stella::test
