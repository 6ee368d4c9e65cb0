// The clients of a load test: transfers of one libcurl multi handle, on the thread that calls.
#include "base/json.hpp"
#include "base/shown_url.hpp"
#include "base/text.hpp"
#include "cli/failure.hpp"
#include "cli/load.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include <curl/curl.h>

namespace stella::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPause{100};  ///< After an error, so that a server that refuses is not flooded.
constexpr std::chrono::milliseconds kPoll{50};
constexpr long kTimeoutSeconds = 120;

struct FreeList {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;
struct EndMulti {
  void operator()(CURLM* multi) const noexcept { curl_multi_cleanup(multi); }
};
struct EndEasy {
  void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};

/// The digits behind `mark`, of its last occurrence; 0 where there are none.
std::size_t number_behind(std::string_view text, std::string_view mark) {
  const std::size_t at = text.rfind(mark);
  if (at == std::string_view::npos) return 0;
  text.remove_prefix(at + mark.size());
  text.remove_prefix(std::min(text.find_first_not_of(": \""), text.size()));
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Whether there is a vector for each of the texts of a request.
bool is_whole(const LoadPlan& plan, const std::string& answer) {
  boost::system::error_code error;
  const json::value body = json::parse(answer, error);
  const json::value* rows = &body;
  if (plan.route == LoadRoute::openai) rows = body.is_object() ? body.get_object().if_contains("data") : nullptr;
  return !error && rows != nullptr && rows->is_array() && rows->get_array().size() == plan.texts_per_request;
}

std::string cause_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
      return "no connection";
    case CURLE_OPERATION_TIMEDOUT:
      return "timed out";
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
      return "connection lost";
    default:
      return curl_easy_strerror(code);
  }
}

HeaderList headers_of(const LoadPlan& plan) {
  HeaderList list;
  const auto add = [&list](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(list.release());
    list.reset(longer);
  };
  add("Content-Type: application/json");
  add("Expect:");
  if (plan.api_key) add("Authorization: Bearer " + *plan.api_key);
  if (plan.bulk) add("x-priority: bulk");
  return list;
}

/// One client with its connection; stays where it is, as libcurl points to it.
class Client {
 public:
  Client(const std::string& url, curl_slist* headers) : easy_(curl_easy_init()) {
    if (!easy_) throw std::bad_alloc();
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTPHEADER, headers);
    set(CURLOPT_PRIVATE, this);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_PROXY, "");  // what is measured is the server
    set(CURLOPT_TIMEOUT, kTimeoutSeconds);
    set(CURLOPT_USERAGENT, "stella-bench/" STELLA_VERSION);
    if (const char* file = std::getenv("SSL_CERT_FILE"); file != nullptr && *file != '\0') set(CURLOPT_CAINFO, file);
    set(CURLOPT_WRITEFUNCTION, &take<&Client::answer_>);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERFUNCTION, &take<&Client::head_>);
    set(CURLOPT_HEADERDATA, this);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  CURL* easy() const noexcept { return easy_.get(); }
  const std::string& answer() const noexcept { return answer_; }

  void prepare(std::string body) {
    body_ = std::move(body);
    answer_.clear();
    head_.clear();
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_.size()));
    set(CURLOPT_POSTFIELDS, body_.c_str());
  }

  long status() const {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
  float milliseconds() const {
    curl_off_t time = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_TOTAL_TIME_T, &time);
    return static_cast<float>(time) / 1000.F;
  }
  /// Ours and text-embeddings-inference say it in the header, OpenAI's kin at the end of the body.
  std::size_t tokens() const {
    const std::size_t counted = number_behind(head_, "x-compute-tokens");
    return counted != 0 ? counted : number_behind(answer_, "\"total_tokens\"");
  }

  Clock::time_point not_before{};  ///< When it may ask again.

 private:
  template <class Value>
  void set(CURLoption option, Value value) {
    const CURLcode code = curl_easy_setopt(easy_.get(), option, value);
    if (code != CURLE_OK) throw Failure(kRuntimeFailure, std::string("libcurl: ") + curl_easy_strerror(code));
  }
  template <std::string Client::*where>
  static std::size_t take(const char* bytes, std::size_t size, std::size_t count, void* client) {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 30U;  // of a server that never ends
    std::string& there = static_cast<Client*>(client)->*where;
    if (there.size() + size * count > kMaxBytes) return 0;
    there.append(bytes, size * count);
    return size * count;
  }

  std::unique_ptr<CURL, EndEasy> easy_;
  std::string body_{};
  std::string answer_{};
  std::string head_{};
};

class LoadRun {
 public:
  LoadRun(const LoadPlan& plan, LoadCounts& counts)
      : plan_(plan), counts_(counts), url_(route_url(plan)), headers_(headers_of(plan)), multi_(curl_multi_init()) {
    if (!multi_) throw std::bad_alloc();
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(plan.clients));
    for (std::size_t i = 0; i < plan.clients; ++i) clients_.push_back(std::make_unique<Client>(url_, headers_.get()));
  }
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;
  ~LoadRun() {
    for (const auto& client : clients_) curl_multi_remove_handle(multi_.get(), client->easy());
  }

  void run(const std::function<void()>& poll);

 private:
  void try_once(const std::function<void()>& poll);
  void send(Client& client);
  /// Calls `done(client, code)` for each transfer that has ended.
  template <class Done>
  void step(Done done);
  void count(Client& client, CURLcode code);

  const LoadPlan& plan_;
  LoadCounts& counts_;
  std::string url_;
  HeaderList headers_;
  std::unique_ptr<CURLM, EndMulti> multi_;
  std::vector<std::unique_ptr<Client>> clients_{};
  std::vector<Client*> idle_{};
  std::size_t under_way_ = 0;
  std::size_t next_text_ = 0;
};

void LoadRun::send(Client& client) {
  client.prepare(request_body(plan_, next_text_));
  next_text_ = (next_text_ + plan_.texts_per_request) % plan_.texts.size();
  curl_multi_add_handle(multi_.get(), client.easy());
  ++under_way_;
}

template <class Done>
void LoadRun::step(Done done) {
  int running = 0;
  curl_multi_perform(multi_.get(), &running);
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Client* client = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &client);
    const CURLcode code = message->data.result;
    curl_multi_remove_handle(multi_.get(), message->easy_handle);
    --under_way_;
    done(*client, code);
  }
}

void LoadRun::try_once(const std::function<void()>& poll) {
  Client& client = *clients_.front();
  CURLcode code = CURLE_OK;
  send(client);
  while (under_way_ != 0) {
    poll();
    step([&code](Client&, CURLcode result) { code = result; });
    if (under_way_ != 0) curl_multi_poll(multi_.get(), nullptr, 0, kPoll.count(), nullptr);
  }
  if (code != CURLE_OK) {
    throw Failure(kRuntimeFailure, "no answer from " + without_password(url_) + " (" + curl_easy_strerror(code) +
                                       "); is a server running there? stella serve starts one");
  }
  const long status = client.status();
  if (status == 200 && is_whole(plan_, client.answer())) return;
  std::string line = without_password(url_) + " answers with status " + std::to_string(status);
  if (status == 200)
    throw Failure(kRuntimeFailure, line + ", but not with a vector for each text: " +
                                       printable_line(client.answer(), 200) + "; try another --route or --url");
  if (status == 401) throw Failure(kBadInput, line + "; give a key that it knows with --api-key or STELLA_API_KEY");
  if (!client.answer().empty()) line += ": " + client.answer().substr(0, 300);
  throw Failure(status < 500 && status != 429 ? kBadInput : kRuntimeFailure, line);
}

void LoadRun::count(Client& client, CURLcode code) {
  const long status = client.status();
  if (code == CURLE_OK && status == 200) {
    counts_.milliseconds.push_back(client.milliseconds());
    counts_.texts += plan_.texts_per_request;
    counts_.tokens += client.tokens();
    return;
  }
  ++counts_.errors[code == CURLE_OK ? std::to_string(status) : cause_of(code)];
  client.not_before = Clock::now() + kPause;
}

void LoadRun::run(const std::function<void()>& poll) {
  try_once(poll);
  for (const auto& client : clients_) idle_.push_back(client.get());
  const auto start = Clock::now();
  const auto end = start + plan_.duration;
  const auto last = end + plan_.finish;
  for (auto now = start; now < end || (under_way_ != 0 && now < last); now = Clock::now()) {
    if (now < end) {
      std::erase_if(idle_, [&](Client* client) {
        if (client->not_before > now) return false;
        send(*client);
        return true;
      });
    }
    step([this, start](Client& client, CURLcode code) {
      count(client, code);
      idle_.push_back(&client);
      counts_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    });
    const auto so_far = std::min(Clock::now(), end) - start;
    counts_.seconds = std::max(counts_.seconds, std::chrono::duration<double>(so_far).count());
    poll();
    const bool may_send = Clock::now() < end && std::any_of(idle_.begin(), idle_.end(), [](const Client* client) {
                            return client->not_before <= Clock::now();
                          });
    if (!may_send) curl_multi_poll(multi_.get(), nullptr, 0, kPoll.count(), nullptr);
  }
  counts_.unfinished = under_way_;
}

}  // namespace

void run_load(const LoadPlan& plan, LoadCounts& counts, const std::function<void()>& poll) {
  LoadRun(plan, counts).run(poll);
}

}  // namespace stella::cli
