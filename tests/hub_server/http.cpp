#include "http.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <openssl/ssl.h>

namespace stella::test {
namespace {

constexpr std::size_t kMaxHead = 64 * 1024;

bool parse_number(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

std::optional<RequestHead> parse_head(std::string_view text) {
  RequestHead head;
  bool first = true;
  while (!text.empty()) {
    const auto end = text.find("\r\n");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    if (first) {
      const auto space = line.find(' ');
      const auto second = line.find(' ', space + 1);
      if (space == std::string_view::npos || second == std::string_view::npos) {
        return std::nullopt;
      }
      head.method = line.substr(0, space);
      head.target = line.substr(space + 1, second - space - 1);
      first = false;
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      head.headers[lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
    }
  }
  return first ? std::nullopt : std::optional(std::move(head));
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

std::string_view RequestHead::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

std::string RequestHead::path() const {
  std::string_view text = target;
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos && text.front() != '/') {
    const auto slash = text.find('/', scheme + 3);
    text = slash == std::string_view::npos ? "/" : text.substr(slash);
  }
  return std::string(text.substr(0, text.find('?')));
}

std::string RequestHead::query() const {
  const auto mark = target.find('?');
  return mark == std::string::npos ? std::string() : target.substr(mark + 1);
}

std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (const auto equals = pair.find('='); pair.substr(0, equals) == name && equals != std::string_view::npos) {
      return percent_decode(pair.substr(equals + 1));
    }
  }
  return {};
}

RangeKind parse_range(std::string_view header, std::uint64_t size, ByteRange& range) {
  if (!header.starts_with("bytes=") || header.find(',') != std::string_view::npos) {
    return RangeKind::none;
  }
  header.remove_prefix(6);
  const auto dash = header.find('-');
  if (dash == std::string_view::npos) {
    return RangeKind::none;
  }
  const std::string_view from = header.substr(0, dash);
  const std::string_view to = header.substr(dash + 1);
  std::uint64_t first = 0;
  std::uint64_t last = size == 0 ? 0 : size - 1;
  if (from.empty()) {
    std::uint64_t count = 0;
    if (!parse_number(to, count)) {
      return RangeKind::none;
    }
    first = size - std::min(count, size);
  } else if (!parse_number(from, first) || (!to.empty() && (!parse_number(to, last) || last < first))) {
    return RangeKind::none;
  }
  if (first >= size) {
    return RangeKind::unsatisfiable;
  }
  range = {first, std::min(last, size - 1)};
  return RangeKind::satisfiable;
}

void Headers::set(const std::string& name, std::string value) {
  for (auto& [known, old] : list_) {
    if (lower(known) == lower(name)) {
      old = std::move(value);
      return;
    }
  }
  list_.emplace_back(name, std::move(value));
}

void Headers::remove(const std::string& name) {
  std::erase_if(list_, [&](const auto& entry) { return lower(entry.first) == lower(name); });
}

std::string Headers::text() const {
  std::string out;
  for (const auto& [name, value] : list_) {
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
  }
  return out;
}

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 206:
      return "Partial Content";
    case 302:
      return "Found";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 416:
      return "Range Not Satisfiable";
    case 429:
      return "Too Many Requests";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

Stream::Stream(int fd) : fd_(fd), tls_(nullptr, SSL_free) {
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Stream::~Stream() {
  close(fd_);
}

bool Stream::start_tls(SSL_CTX* context) {
  tls_.reset(SSL_new(context));
  SSL_set_fd(tls_.get(), fd_);
  return SSL_accept(tls_.get()) == 1;
}

long Stream::read_some(char* out, std::size_t size) {
  if (tls_) {
    return SSL_read(tls_.get(), out, static_cast<int>(size));
  }
  return recv(fd_, out, size, 0);
}

std::optional<RequestHead> Stream::read_request() {
  std::array<char, 8192> chunk;
  std::size_t end = 0;
  while ((end = buffered_.find("\r\n\r\n")) == std::string::npos) {
    if (buffered_.size() > kMaxHead) {
      return std::nullopt;
    }
    const long got = read_some(chunk.data(), chunk.size());
    if (got <= 0) {
      return std::nullopt;
    }
    buffered_.append(chunk.data(), static_cast<std::size_t>(got));
  }
  auto head = parse_head(std::string_view(buffered_).substr(0, end + 2));
  buffered_.erase(0, end + 4);
  return head;
}

bool Stream::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const long sent =
        tls_ ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(std::min(bytes.size(), std::size_t{1} << 24)))
             : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool Stream::send_file(int file, std::uint64_t offset, std::size_t size) {
  auto position = static_cast<off_t>(offset);
  if (!tls_) {
    while (size > 0) {
      const ssize_t sent = sendfile(fd_, file, &position, size);
      if (sent <= 0) {
        return false;
      }
      size -= static_cast<std::size_t>(sent);
    }
    return true;
  }
  std::string buffer(std::min(size, std::size_t{256} * 1024), '\0');
  while (size > 0) {
    const ssize_t got = pread(file, buffer.data(), std::min(size, buffer.size()), position);
    if (got <= 0 || !write({buffer.data(), static_cast<std::size_t>(got)})) {
      return false;
    }
    position += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

bool Stream::peer_gone() const {
  pollfd poll_one{fd_, POLLRDHUP, 0};
  return poll(&poll_one, 1, 0) > 0 && (poll_one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Stream::finish() {
  if (tls_) {
    SSL_shutdown(tls_.get());
  }
  ::shutdown(fd_, SHUT_RDWR);
}

void Stream::reset() {
  if (tls_) {
    ::shutdown(fd_, SHUT_RDWR);
    return;
  }
  // What the kernel still holds would be dropped with the RST, and the cut would come earlier than the test asked for.
  for (int i = 0; i < 2000; ++i) {
    int unsent = 0;
    if (ioctl(fd_, SIOCOUTQ, &unsent) != 0 || unsent == 0 || peer_gone()) {
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const linger at_once{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void Stream::shutdown() noexcept {
  ::shutdown(fd_, SHUT_RDWR);
}

}  // namespace stella::test
