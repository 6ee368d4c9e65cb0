#include "hub/http/exchange.hpp"

#include "base/ascii.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "hub/http/proxy.hpp"
#include "hub/http/url.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <new>
#include <sys/socket.h>
#include <unistd.h>

namespace stella::hub {
namespace {

constexpr std::size_t kMaxHeaderBytes = 64 * 1024;
constexpr std::uint64_t kStallBytesPerSecond = 1024;

template <class T>
void set(CURL* easy, CURLoption option, T value) {
  const CURLcode code = curl_easy_setopt(easy, option, value);
  if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
}

// As libcurl does it, but never on a standard stream that the program has closed and may go on printing into.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
  const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int up = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  ::close(fd);
  return up;
}

void append(std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>& list, const std::string& header) {
  curl_slist* longer = curl_slist_append(list.get(), header.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  static_cast<void>(list.release());
  list.reset(longer);
}

std::string header_limit() {
  return "sends more than " + std::to_string(kMaxHeaderBytes) + " bytes of headers";
}

// Whether fewer descriptors can be had than a request needs.
bool lacks_descriptors() {
  std::array<UniqueFd, 5> needed;
  for (UniqueFd& fd : needed) {
    fd = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!fd) return errno == EMFILE || errno == ENFILE;
  }
  return false;
}

}  // namespace

HttpExchange::HttpExchange(EventLoop& loop, const HubOptions& options, const HttpRequest& request,
                           HttpCallbacks callbacks)
    : loop_(loop),
      easy_(curl_easy_init(), &curl_easy_cleanup),
      headers_(nullptr, &curl_slist_free_all),
      callbacks_(std::move(callbacks)),
      stall_timeout_(request.stall_timeout) {
  if (!easy_) throw std::bad_alloc();
  head_.url = request.url;
  set_options(options, request);
  if (curl_multi_add_handle(loop_.multi(), easy_.get()) != CURLM_OK) throw std::bad_alloc();
  if (stall_timeout_.count() > 0) watch_for_stall();
}

HttpExchange::~HttpExchange() {
  if (stall_timer_) loop_.cancel(*stall_timer_);
  curl_multi_remove_handle(loop_.multi(), easy_.get());
}

void HttpExchange::set_options(const HubOptions& options, const HttpRequest& request) {
  CURL* easy = easy_.get();
  set(easy, CURLOPT_PRIVATE, static_cast<void*>(static_cast<CurlUser*>(this)));
  set(easy, CURLOPT_ERRORBUFFER, error_text_);
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_URL, request.url.c_str());
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_HTTP09_ALLOWED, 0L);
  set(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  set(easy, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  if (request.bulk) set(easy, CURLOPT_BUFFERSIZE, 512L * 1024L);
  if (request.head) set(easy, CURLOPT_NOBODY, 1L);
  const auto connect = request.total_timeout.count() > 0 ? request.total_timeout : request.stall_timeout;
  if (connect.count() > 0) set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect.count()));
  set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout.count()));

#if LIBCURL_VERSION_NUM >= 0x075700
  // Ending a request does not wait for the thread that asks a name server, which may take half a minute.
  set(easy, CURLOPT_QUICK_EXIT, 1L);
#endif

  // An empty string, unlike no string, keeps libcurl from reading the environment by itself. Exceptions are ours:
  // libcurl knows none with a port.
  set(easy, CURLOPT_PROXY, proxy_for(options, request.url).c_str());
  set(easy, CURLOPT_NOPROXY, "");
  // Either one replaces all of the system's authorities, as it does for Python's client.
  if (!options.ca_file.empty() || !options.ca_dir.empty()) {
    set(easy, CURLOPT_CAINFO, options.ca_file.empty() ? nullptr : options.ca_file.c_str());
    set(easy, CURLOPT_CAPATH, options.ca_dir.empty() ? nullptr : options.ca_dir.c_str());
  }

  std::string agent = "stella.cpp/" STELLA_VERSION;
  if (!options.user_agent.empty()) agent += "; " + options.user_agent;
  set(easy, CURLOPT_USERAGENT, agent.c_str());
  append(headers_, "Accept-Encoding: identity");
  if (request.with_token && !options.token.empty()) append(headers_, "Authorization: Bearer " + options.token);
  if (request.range) {
    append(headers_,
           "Range: bytes=" + std::to_string(request.range->first) + "-" + std::to_string(request.range->second));
  }
  set(easy, CURLOPT_HTTPHEADER, headers_.get());
  set(easy, CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));
  set(easy, CURLOPT_HEADERFUNCTION, &HttpExchange::header_arrived);
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(easy, CURLOPT_WRITEFUNCTION, &HttpExchange::body_arrived);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(this));
}

void HttpExchange::resume() {
  if (!paused_) return;
  paused_ = false;
  curl_easy_pause(easy_.get(), CURLPAUSE_CONT);
}

void HttpExchange::finish(CURLcode code) {
  HttpEnd end;
  end.code = code;
  end.refused = refused_;
  end.limit = limit_;
  curl_off_t first_byte = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
  // So libcurl calls a single header that is longer than it likes, which is beyond what we like, too.
  if (code == CURLE_OUT_OF_MEMORY && first_byte > 0 && !head_complete_) end.limit = header_limit();
  if (code != CURLE_OK) end.text = error_text_[0] != '\0' ? error_text_ : curl_easy_strerror(code);
  log_end(end.text);
  auto done = std::move(callbacks_.on_done);
  done(end);
}

void HttpExchange::log_end(const std::string& failure) const {
  constexpr curl_off_t kMicrosecondsPerMillisecond = 1000;
  const char* method = nullptr;
  curl_off_t microseconds = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_EFFECTIVE_METHOD, &method);
  curl_easy_getinfo(easy_.get(), CURLINFO_TOTAL_TIME_T, &microseconds);
  log(LogLevel::debug, std::string(method != nullptr ? method : "request") + " " + redacted(head_.url) + ": " +
                           (failure.empty() ? "status " + std::to_string(head_.status) : failure) + ", " +
                           std::to_string(received_) + " bytes, " +
                           std::to_string(microseconds / kMicrosecondsPerMillisecond) + " ms");
}

void HttpExchange::watch_for_stall() {
  stall_timer_ = loop_.after(stall_timeout_, [this] {
    const std::uint64_t got = received_ - received_at_last_look_;
    const auto least = kStallBytesPerSecond * static_cast<std::uint64_t>(stall_timeout_.count()) / 1000;
    if (!was_paused_ && got <= least) {
      HttpEnd end;
      end.code = CURLE_OPERATION_TIMEDOUT;
      end.text = "no data for too long";
      auto done = std::move(callbacks_.on_done);
      done(end);
      return;
    }
    received_at_last_look_ = received_;
    was_paused_ = paused_;
    watch_for_stall();
  });
}

std::size_t HttpExchange::header_arrived(char* data, std::size_t size, std::size_t count, void* self) {
  try {
    return static_cast<HttpExchange*>(self)->take_header({data, size * count});
  } catch (...) {
    return 0;  // for lack of memory; libcurl ends the exchange, and it may be tried again
  }
}

std::size_t HttpExchange::body_arrived(char* data, std::size_t size, std::size_t count, void* self) {
  try {
    return static_cast<HttpExchange*>(self)->take_body(std::as_bytes(std::span(data, size * count)));
  } catch (...) {
    return 0;
  }
}

std::size_t HttpExchange::take_header(std::string_view line) {
  constexpr std::size_t kStop = 0;
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    limit_ = header_limit();
    refused_ = true;
    return kStop;
  }
  if (head_complete_) return line.size();  // trailers
  const std::string_view text = trim(line);
  if (text.starts_with("HTTP/")) {
    head_.headers.clear();
    const std::string_view rest = trim(text.substr(std::min(text.find(' '), text.size())));
    head_.status = static_cast<int>(parse_number(rest.substr(0, 3)).value_or(0));
  } else if (text.empty()) {
    if (head_.status < 200) return line.size();  // 100 Continue and its like
    head_complete_ = true;
    if (callbacks_.on_head && !callbacks_.on_head(head_)) {
      refused_ = true;
      return kStop;
    }
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    head_.headers.emplace_back(to_lower(trim(text.substr(0, colon))), trim(text.substr(colon + 1)));
  }
  return line.size();
}

std::size_t HttpExchange::take_body(std::span<const std::byte> bytes) {
  const BodyVerdict verdict = callbacks_.on_body ? callbacks_.on_body(bytes) : BodyVerdict::take;
  if (verdict == BodyVerdict::pause) {
    paused_ = true;
    was_paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  if (verdict == BodyVerdict::stop) {
    refused_ = true;
    return 0;
  }
  received_ += bytes.size();
  return bytes.size();
}

HttpFailure beyond_limit(const std::string& limit, const std::string& url, const std::string& what) {
  HttpFailure failure;
  failure.code = Errc::limit_exceeded;
  failure.context.url = redacted(url);
  failure.message = what + ": " + failure.context.url + " " + limit;
  return failure;
}

HttpFailure failure_from(const HttpEnd& end, const std::string& url, const std::string& what) {
  if (!end.limit.empty()) return beyond_limit(end.limit, url, what);
  HttpFailure failure;
  failure.code = Errc::hub_unreachable;
  failure.context.url = redacted(url);
  const bool certificate = end.code == CURLE_PEER_FAILED_VERIFICATION || end.code == CURLE_SSL_CACERT_BADFILE ||
                           end.code == CURLE_SSL_ISSUER_ERROR || end.code == CURLE_SSL_PINNEDPUBKEYNOTMATCH ||
                           end.code == CURLE_SSL_INVALIDCERTSTATUS || end.code == CURLE_SSL_CIPHER;
  failure.never_connected = end.code == CURLE_COULDNT_CONNECT || end.code == CURLE_COULDNT_RESOLVE_HOST ||
                            end.code == CURLE_COULDNT_RESOLVE_PROXY || end.code == CURLE_PROXY;
  const std::string host = origin_of(url) ? origin_of(url)->host : failure.context.url;
  failure.message = what + ": cannot reach " + host + " (" + end.text + ")";
  // libcurl does not say why it could not make a socket, a pair of them for the resolver, or open its certificates.
  if ((failure.never_connected || certificate || end.code == CURLE_OUT_OF_MEMORY || end.code == CURLE_FAILED_INIT) &&
      lacks_descriptors()) {
    failure.code = Errc::resource_limit;
    failure.message += ": too few file descriptors are left; raise the limit on open files (ulimit -n)";
    return failure;
  }
  if (end.code == CURLE_OUT_OF_MEMORY) failure.code = Errc::out_of_memory;
  failure.retry = !certificate && end.code != CURLE_URL_MALFORMAT && end.code != CURLE_OUT_OF_MEMORY && !end.refused;
  return failure;
}

}  // namespace stella::hub
