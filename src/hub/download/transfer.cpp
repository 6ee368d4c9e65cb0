#include "hub/download/transfer.hpp"

#include "base/sha.hpp"
#include "hub/http/url.hpp"

#include <algorithm>
#include <ctime>
#include <string_view>
#include <utility>

namespace stella::hub {
namespace {

// What Git LFS leaves in a repository in place of a large file: a few lines of text. `size` 0: not known.
bool is_lfs_pointer(std::string_view beginning, std::uint64_t size) {
  constexpr std::string_view kSignature = "version https://git-lfs.github.com/spec/v1\n";
  constexpr std::uint64_t kMaxPointerBytes = 1024;
  return size <= kMaxPointerBytes && beginning.starts_with(kSignature);
}

// A configuration or a tokenizer is read whole by whoever asked for it; nothing else may fill the disk unannounced.
std::uint64_t most_bytes_of(const std::string& file, bool announced, const ClientTuning& tuning) {
  constexpr std::uint64_t kMaxJson = 64U << 20U;
  constexpr std::uint64_t kMaxTokenizer = 256U << 20U;
  if (file == "tokenizer.json" || file.ends_with("/tokenizer.json")) return kMaxTokenizer;
  if (file.ends_with(".json")) return kMaxJson;
  return announced ? UINT64_MAX : tuning.most_without_size;
}

// The signed address of a body has run out, or its host has forgotten it.
bool is_expired(const Failure& failure) {
  const int status = failure.context.http_status;
  return status == 401 || status == 403 || status == 404 || status == 410;
}

}  // namespace

Transfer::Transfer(Services& services, TransferJob job, OnProgress on_progress, Done done)
    : services_(services),
      job_(std::move(job)),
      on_progress_(std::move(on_progress)),
      done_(std::move(done)),
      backoff_(services.tuning.retries),
      throughput_(services.tuning.first_connections),
      size_(job_.metadata.size),
      url_(job_.metadata.location),
      most_bytes_(most_bytes_of(job_.file, size_.has_value(), services.tuning)) {}

void Transfer::start() {
  services_.budget.join(*this);
  if (size_ && *size_ > most_bytes_) return finish(too_large().exception());
  opening_ = true;
  services_.files.run<std::shared_ptr<PartialFile>>(
      [paths = job_.paths, etag = job_.metadata.etag, size = size_] {
        return std::make_shared<PartialFile>(paths, etag, size);
      },
      [self = shared_from_this()](std::exception_ptr error, std::shared_ptr<PartialFile> file) {
        self->opened(error, std::move(file));
      });
}

void Transfer::opened(std::exception_ptr error, std::shared_ptr<PartialFile> file) {
  opening_ = false;
  restarting_ = false;
  if (finishing_) return conclude();
  if (error) return finish(error);
  begin(std::move(file));
}

// A new file or what an earlier process left of it.
void Transfer::begin(std::shared_ptr<PartialFile> file) {
  received_ = file->resumed();
  claimed_ = received_;
  resumed_bytes_ = received_.total();
  sink_ = std::make_shared<BodySink>(services_, std::move(file), job_.metadata.etag, size_, [this] { sink_changed(); });
  sink_->start();
  if (!sample_timer_) sample();
  if (size_ && received_.total() == *size_) return sink_changed();
  fill();
}

void Transfer::stop() {
  if (finishing_) return;
  finish(std::make_exception_ptr(Error(Errc::cancelled, job_.what + ": the download was cancelled")));
}

bool Transfer::wants_connection() const {
  if (!sink_ || finishing_ || restarting_ || query_ || retry_timer_) return false;
  return !size_ || received_.total() < *size_;
}

std::size_t Transfer::connection_limit() const {
  return job_.options->connections != 0 ? job_.options->connections : services_.tuning.connections;
}

void Transfer::fill() {
  while (wants_connection() && streams_.size() < throughput_.wanted() &&
         services_.budget.may_open(*this, connection_limit())) {
    if (!size_ || no_ranges_) {
      if (!streams_.empty()) return;
      return open_stream(true, {0, size_.value_or(Stream::kToTheEnd)});
    }
    const auto piece = next_piece();
    if (!piece) return;
    // A small body in one go needs no Range, and so nothing of the server but HTTP.
    open_stream(piece->first == 0 && piece->second == *size_, *piece);
  }
}

// The lowest bytes that nobody has or fetches: hashing follows close behind. The less is left the smaller, so that all
// connections end at about the same time.
std::optional<RangeSet::Range> Transfer::next_piece() {
  const ClientTuning& tuning = services_.tuning;
  auto gap = claimed_.first_gap(*size_);
  if (!gap) {
    split_slowest();
    gap = claimed_.first_gap(*size_);
  }
  if (!gap) return std::nullopt;
  if (connection_limit() == 1) return gap;
  const std::uint64_t left = *size_ - claimed_.total();
  const std::uint64_t smallest = smallest_piece();
  const std::uint64_t length =
      std::clamp(left / (2 * connection_limit()), smallest, std::max(smallest, tuning.largest_piece));
  // Never leave a crumb behind.
  if (gap->second - gap->first > length + smallest / 2) gap->second = gap->first + length;
  return gap;
}

// Worth a request: asking costs at most a third of the time that the bytes take.
std::uint64_t Transfer::smallest_piece() const {
  const ClientTuning& tuning = services_.tuning;
  if (latency_ <= 0 || stream_rate_ <= 0) return 4 * tuning.smallest_piece;
  const double worth = std::min(2 * latency_ * stream_rate_, static_cast<double>(tuning.largest_piece));
  return std::max(tuning.smallest_piece, static_cast<std::uint64_t>(worth));
}

// Everything is some stream's task: halve the largest rest, if it is worth a request.
void Transfer::split_slowest() {
  Stream* largest = nullptr;
  for (const auto& stream : streams_) {
    if (stream->whole) return;
    if (largest == nullptr || stream->end - stream->position > largest->end - largest->position) largest = stream.get();
  }
  if (largest == nullptr || largest->end - largest->position < 2 * smallest_piece()) return;
  const std::uint64_t middle = largest->position + (largest->end - largest->position) / 2;
  claimed_.remove(middle, largest->end);
  largest->end = middle;
  largest->longer = true;
}

void Transfer::open_stream(bool whole, RangeSet::Range piece) {
  if (size_) claimed_.add(piece.first, piece.second);
  services_.budget.opened();
  streams_.push_back(
      std::make_unique<Stream>(services_, *this, *job_.options, job_.what, url_, whole, piece.first, piece.second));
  if (whole) whole_stream_ = streams_.back().get();
}

bool Transfer::stream_head(Stream& stream, const HttpHead& head) {
  if (whole_stream_ != nullptr && whole_stream_ != &stream) {
    stream.superseded = true;
    return false;
  }
  if (head.status == 206 && !stream.whole) {
    const auto range = content_range(head);
    const bool honest = range && range->first == stream.position && (!range->total || *range->total == *size_);
    if (!honest) {
      Failure failure;
      failure.context.url = redacted(stream.url());
      failure.context.http_status = head.status;
      failure.message = job_.what + ": " + failure.context.url + " answers with another range than asked for";
      failure.retry = true;
      if (++lies_ >= 2) no_ranges_ = true;
      stream.refusal = failure;
      return false;
    }
    stream.longer = stream.longer || range->last + 1 > stream.end;
    return true;
  }
  if (head.status != 200) {
    Failure failure;
    failure.context.url = redacted(stream.url());
    failure.context.http_status = head.status;
    failure.message = job_.what + ": " + failure.context.url + " answered status " + std::to_string(head.status) +
                      " where a body was expected";
    failure.retry = true;
    stream.refusal = failure;
    return false;
  }
  if (!stream.whole) take_whole(stream);
  const std::string* length = head.find("content-length");
  stream.has_length = length != nullptr;
  if (size_ && length != nullptr && *length != std::to_string(*size_)) stream.longer = true;
  return true;
}

// The server ignores Range and sends everything: let it, on this one connection.
void Transfer::take_whole(Stream& stream) {
  no_ranges_ = true;
  stream.whole = true;
  stream.position = 0;
  stream.end = *size_;
  whole_stream_ = &stream;
  claimed_.add(0, *size_);
  services_.loop.post([self = shared_from_this()] { self->drop_others(); });
}

void Transfer::drop_others() {
  if (whole_stream_ == nullptr || finishing_) return;
  std::vector<Stream*> others;
  for (const auto& stream : streams_) {
    if (stream.get() != whole_stream_) others.push_back(stream.get());
  }
  for (Stream* other : others) remove_stream(*other);
}

BodyVerdict Transfer::stream_body(Stream& stream, std::span<const std::byte> bytes) {
  if (finishing_ || restarting_) return BodyVerdict::stop;
  if (whole_stream_ != nullptr && whole_stream_ != &stream) {
    stream.superseded = true;
    return BodyVerdict::stop;
  }
  const std::uint64_t room = stream.end - stream.position;
  const auto wanted = bytes.first(std::min<std::uint64_t>(bytes.size(), room));
  const std::uint64_t after = stream.position + wanted.size();
  constexpr std::size_t kBeginning = 64;
  if (stream.position == 0) beginning_.clear();
  if (stream.position == beginning_.size() && beginning_.size() < kBeginning) {
    const auto more = wanted.first(std::min(wanted.size(), kBeginning - beginning_.size()));
    beginning_.append(reinterpret_cast<const char*>(more.data()), more.size());
  }
  if (!size_ && after > most_bytes_) {
    stream.refusal = too_large();
    return BodyVerdict::stop;
  }
  if (!size_ || !received_.contains(stream.position, after)) {
    if (!sink_->put(stream.lane, stream.position, wanted)) return BodyVerdict::pause;
    const std::uint64_t before = received_.total();
    received_.add(stream.position, after);
    backoff_.progress(received_.total() - before);
    if (on_progress_) on_progress_(received_.total(), size_.value_or(0));
  }
  if (stream.received == 0) {
    stream.first_byte = EventLoop::Clock::now();
    const double latency = std::chrono::duration<double>(stream.first_byte - stream.started).count();
    latency_ = latency_ <= 0 ? latency : std::min(latency, latency_);
  }
  stream.position = after;
  stream.received += wanted.size();
  const bool full = stream.position == stream.end;
  return full && (stream.longer || wanted.size() < bytes.size()) ? BodyVerdict::stop : BodyVerdict::take;
}

void Transfer::remove_stream(Stream& stream) {
  const auto at = std::find_if(streams_.begin(), streams_.end(), [&](const auto& one) { return one.get() == &stream; });
  if (at == streams_.end()) return;
  if (sink_) sink_->flush(stream.lane);
  if (size_) {
    // What this stream leaves undone is free again, unless another one has it.
    claimed_.remove(stream.whole ? 0 : stream.position, stream.end);
    for (const auto& [first, end] : received_.ranges()) claimed_.add(first, end);
    for (const auto& other : streams_) {
      if (other.get() != &stream) claimed_.add(other->position, other->end);
    }
  }
  if (whole_stream_ == &stream) whole_stream_ = nullptr;
  streams_.erase(at);
  services_.budget.closed();
}

void Transfer::drop_streams() {
  while (!streams_.empty()) remove_stream(*streams_.back());
}

void Transfer::stream_ended(Stream& stream, std::optional<Failure> failure) {
  const auto self = shared_from_this();
  const bool whole = stream.whole;
  const bool full = size_ && stream.position == stream.end;
  const bool ignore = stream.superseded || full || finishing_ || restarting_;
  const bool clean = !failure;
  const std::uint64_t position = stream.position;
  const std::uint64_t end = stream.end;
  if (!ignore && !failure && !size_ && whole) size_ = position;  // the answer's end is the body's
  const bool body_complete = size_ && whole && !full && position == *size_;
  if (!failure && !ignore && !body_complete) {
    failure.emplace();
    failure->context.url = redacted(stream.url());
    failure->message = job_.what + ": the connection ended " + std::to_string(end - position) + " bytes early";
    failure->retry = true;
  }
  if (!failure && url_ != stream.url()) url_ = stream.url();  // saves the redirect next time
  const std::chrono::duration<double> took = EventLoop::Clock::now() - stream.first_byte;
  if (stream.received > 0 && took.count() > 0) stream_rate_ = static_cast<double>(stream.received) / took.count();
  const bool unknown_size = !size_;
  const bool too_short = failure && !ignore && clean && whole && stream.has_length;
  remove_stream(stream);
  if (body_complete) return body_ended();
  if (ignore) {
    sink_changed();
    return fill();
  }
  if (unknown_size) {  // nothing says where to go on
    received_ = {};
    claimed_ = {};
  }
  if (too_short) return contradicted("the body is shorter than the announced " + std::to_string(end) + " bytes");
  failed(*failure);
}

// A body of unknown size has come to its end.
void Transfer::body_ended() {
  received_.add(0, *size_);
  claimed_ = received_;
  sink_->set_size(*size_);
  sink_changed();
}

std::size_t Transfer::delivering() const {
  return static_cast<std::size_t>(
      std::count_if(streams_.begin(), streams_.end(), [](const auto& stream) { return stream->received > 0; }));
}

void Transfer::sample() {
  struct Then {
    EventLoop::Clock::time_point time;
    std::uint64_t received, shortages;
    std::size_t delivering;
  };
  const auto shortages = [this] { return sink_ ? sink_->shortages() : 0; };
  sample_timer_ = services_.loop.after(
      services_.tuning.sample,
      [this, shortages, then = Then{EventLoop::Clock::now(), received_.total(), shortages(), delivering()}] {
        TransferSample now;
        const std::uint64_t received = received_.total();
        now.bytes = received > then.received ? received - then.received : 0;
        now.seconds = std::chrono::duration<double>(EventLoop::Clock::now() - then.time).count();
        now.delivering = then.delivering;
        now.short_of_memory = shortages() > then.shortages;
        throughput_.sample(now, connection_limit(), latency_);
        sample();
        fill();
      });
}

void Transfer::sink_changed() {
  if (!sink_) return;
  if (finishing_ || restarting_) return conclude();
  if (sink_->error()) return finish(sink_->error());
  if (sink_->complete() && streams_.empty()) verify();
}

void Transfer::verify() {
  const FileMetadata& announced = job_.metadata;
  std::string digest = sink_->digest();
  if (is_lfs_pointer(beginning_, *size_)) {
    sink_->file()->remove();
    return finish(pointer_failure().exception());
  }
  if (!announced.verifiable) return accept(std::move(digest), Received::Checked::no);
  if (digest == announced.etag) return accept(std::move(digest), Received::Checked::by_hash);
  if (announced.may_be_plain_sha1) return verify_plain_sha1();
  contradicted("the bytes received do not have the announced hash " + announced.etag);
}

// Artifact stores name a file by the sha1 of its bytes, where the hub names it by git's, which counts the size in.
void Transfer::verify_plain_sha1() {
  struct Hashes {
    std::string sha1, sha256;
  };
  opening_ = true;
  services_.files.run<Hashes>(
      [file = sink_->file(), size = *size_] {
        Sha1 sha1;
        Sha256 sha256;
        std::vector<std::byte> buffer(1U << 20U);
        for (std::uint64_t at = 0; at < size;) {
          const auto part = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), size - at));
          file->read(at, part);
          sha1.update(part);
          sha256.update(part);
          at += part.size();
        }
        return Hashes{to_hex(sha1.digest()), to_hex(sha256.digest())};
      },
      [self = shared_from_this()](std::exception_ptr error, Hashes hashes) {
        self->opening_ = false;
        if (self->finishing_) return self->conclude();
        if (error) return self->finish(error);
        if (hashes.sha1 == self->job_.metadata.etag) {
          return self->accept(std::move(hashes.sha256), Received::Checked::by_plain_sha1);
        }
        self->contradicted("the bytes received have neither git's nor the plain sha1 of the etag '" +
                           self->job_.metadata.announced + "'");
      });
}

void Transfer::accept(std::string blob, Received::Checked checked) {
  received_file_.blob = std::move(blob);
  received_file_.checked = checked;
  finish(nullptr);
}

Failure Transfer::integrity_failure(const std::string& how) const {
  Failure failure;
  failure.code = Errc::integrity;
  const std::string& endpoint = job_.options->endpoint;
  failure.message = job_.what + ": " + how + "; nothing was stored. " +
                    (is_own_endpoint(endpoint) ? "The mirror " + redacted(endpoint) +
                                                     ", or a proxy before it, alters files or names them by other "
                                                     "etags than the hub's; ask its operator, or unset HF_ENDPOINT"
                                               : "Try again, or report it to the repository");
  return failure;
}

Failure Transfer::too_large() const {
  const std::string of = size_ ? "has " + std::to_string(*size_) + " bytes; at most "
                               : std::string("does not say how large it is; at most ");
  return beyond_limit("names a file that " + of + std::to_string(most_bytes_) + " are taken", url_, job_.what);
}

Failure Transfer::pointer_failure() const {
  return integrity_failure("what came is a Git LFS pointer and not the file that it stands for");
}

void Transfer::failed(const Failure& failure) {
  if (finishing_ || restarting_) return;
  if (failure.code == Errc::limit_exceeded && sink_) sink_->file()->remove();
  if (failure.context.http_status == 416) {
    no_ranges_ = true;
    return contradicted("the hub's host refuses a range inside the announced size");
  }
  Failure again = failure;
  const bool expired = is_expired(failure);
  if (expired) again.retry = true;
  if (failure.context.http_status == 429 || failure.context.http_status == 503) throughput_.back_off();
  if (retry_timer_ || query_) return;  // one pause answers for all connections that broke together
  const auto wait = backoff_.next(again);
  if (!wait) return finish(failure.exception());
  if (expired) return resolve_again();
  url_ = job_.metadata.location;
  retry_timer_ = services_.loop.after(*wait, [this] {
    retry_timer_.reset();
    fill();
  });
}

// What came and what was announced cannot both be true. Bytes of an earlier process prove nothing against the hub.
void Transfer::contradicted(const std::string& how) {
  const bool fresh = resumed_bytes_ == 0;
  if (fresh && ++contradictions_ >= 2) {
    sink_->file()->remove();
    return finish((is_lfs_pointer(beginning_, 0) ? pointer_failure() : integrity_failure(how)).exception());
  }
  resolve_first_ = fresh;
  restart();
}

void Transfer::restart() {
  restarting_ = true;
  drop_streams();
  if (sink_) sink_->stop_hashing();
  conclude();
}

void Transfer::resolve_again() {
  Question question;
  question.url = job_.pinned_url;
  question.what = job_.what;
  question.options = job_.options;
  question.retries = services_.tuning.retries;
  query_ = std::make_unique<Query>(services_.loop, std::move(question),
                                   [this](std::optional<Answer> answer, std::optional<Failure> failure) {
                                     const auto self = shared_from_this();
                                     const auto query = std::move(query_);
                                     if (failure) return finish(failure->exception());
                                     resolved(*answer);
                                   });
}

void Transfer::resolved(const Answer& answer) {
  FileMetadata metadata;
  try {
    metadata = metadata_from(answer.head, {is_own_endpoint(job_.options->endpoint), job_.metadata.commit});
  } catch (const Error&) {
    return finish(std::current_exception());
  }
  if (metadata.etag != job_.metadata.etag) {
    return finish(integrity_failure("the hub names another etag for the same commit").exception());
  }
  url_ = metadata.location;
  job_.metadata.location = metadata.location;
  if (!restarting_) return fill();
  size_ = metadata.size;
  resolve_first_ = false;
  conclude();
}

void Transfer::finish(std::exception_ptr error) {
  if (finishing_) return;
  finishing_ = true;
  result_ = error;
  query_.reset();
  for (auto* timer : {&retry_timer_, &sample_timer_}) {
    if (*timer) services_.loop.cancel(**timer);
    timer->reset();
  }
  drop_streams();
  if (error && sink_) sink_->stop_hashing();
  conclude();
}

// Once no job touches the file any more: hand it over, or begin again.
void Transfer::conclude() {
  if (opening_ || (sink_ && !sink_->idle())) return;
  if (finishing_) {
    if (!done_) return;
    services_.budget.leave(*this);
    const auto self = shared_from_this();
    auto done = std::move(done_);
    if (sink_) received_file_.file = sink_->file();
    if (sink_) sink_->silence();
    // Not from here: the caller may be in the middle of a call of ours.
    services_.loop.post([done = std::move(done), error = result_, received = std::move(received_file_)]() mutable {
      done(error, error ? Received{} : std::move(received));
    });
    return;
  }
  if (!restarting_ || !sink_ || query_) return;
  if (resolve_first_) return resolve_again();
  sink_->silence();
  auto file = sink_->file();
  sink_.reset();
  opening_ = true;
  services_.files.run<std::shared_ptr<PartialFile>>(
      [file, size = size_] {
        file->restart(size);
        return file;
      },
      [self = shared_from_this()](std::exception_ptr error, std::shared_ptr<PartialFile> fresh) {
        self->opened(error, std::move(fresh));
      });
}

}  // namespace stella::hub
