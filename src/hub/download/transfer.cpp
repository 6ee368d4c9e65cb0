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

PieceLimits limits_of(const ClientTuning& tuning, std::size_t connections) {
  return {tuning.smallest_piece, tuning.largest_piece, connections};
}

// The signed address of a body has run out, or its host has forgotten it.
bool is_expired(const HttpFailure& failure) {
  const int status = failure.context.http_status;
  return status == 401 || status == 403 || status == 404 || status == 410;
}

}  // namespace

Transfer::Transfer(Resources& resources, TransferJob job, std::shared_ptr<TransferOwner> owner)
    : resources_(resources),
      job_(std::move(job)),
      owner_(std::move(owner)),
      plan_(limits_of(resources.tuning, connection_limit())),
      backoff_(resources.tuning.retries),
      throughput_(resources.tuning.first_connections),
      url_(job_.metadata.location),
      most_bytes_(most_bytes_of(job_.file, job_.metadata.size.has_value(), resources.tuning)) {
  end_task_.emplace_back([this] { tell_end(); });  // lives until then: the owner has it, and it has the owner
}

Transfer::~Transfer() = default;

// The one place where the phase changes; what belongs to a phase ends with it.
void Transfer::enter(Phase next) {
  phase_ = next;
  query_.reset();
  if (retry_timer_) resources_.loop.cancel(*retry_timer_);
  retry_timer_.reset();
}

void Transfer::start() {
  resources_.budget.join(*this);
  plan_.begin({}, job_.metadata.size);
  if (job_.metadata.size && *job_.metadata.size > most_bytes_) return finish(too_large().exception());
  open([paths = job_.paths, etag = job_.metadata.etag, size = job_.metadata.size] {
    return std::make_shared<PartialFile>(paths, etag, size);
  });
}

// A new file or what an earlier process left of it, by a job that gives it.
template <class Work>
void Transfer::open(Work work) {
  enter(Phase::opening);
  job_has_file_ = true;
  resources_.files.run<std::shared_ptr<PartialFile>>(
      std::move(work), [self = shared_from_this()](std::exception_ptr error, std::shared_ptr<PartialFile> file) {
        self->job_has_file_ = false;
        if (self->phase_ == Phase::ending) return self->conclude();
        if (error) return self->finish(error);
        self->begin(std::move(file));
      });
}

void Transfer::begin(std::shared_ptr<PartialFile> file) {
  plan_.begin(file->resumed(), job_.metadata.size);
  resumed_bytes_ = plan_.received();
  sink_ = std::make_shared<BodySink>(resources_, *this, std::move(file), job_.metadata.etag, job_.metadata.size);
  enter(Phase::fetching);
  sink_->start();
  if (!sample_timer_) sample();
  if (plan_.all_received()) return sink_changed();
  fill();
}

void Transfer::stop() {
  finish(std::make_exception_ptr(Error(Errc::cancelled, job_.what + ": the download was cancelled")));
}

std::size_t Transfer::connection_limit() const {
  return job_.options->connections != 0 ? job_.options->connections : resources_.tuning.connections;
}

void Transfer::fill() {
  while (wants_connection() && streams_.size() < throughput_.wanted() &&
         resources_.budget.may_open(*this, connection_limit())) {
    PiecePlan::Piece* const piece = plan_.next(EventLoop::Clock::now());
    if (piece == nullptr) return;
    resources_.budget.opened();
    streams_.push_back(std::make_unique<Stream>(resources_, *this, *job_.options, job_.what, url_, *piece));
  }
}

HttpFailure Transfer::failure_of(const Stream& stream, int status, const std::string& how) const {
  HttpFailure failure;
  failure.context.url = redacted(stream.url());
  failure.context.http_status = status;
  failure.message = job_.what + ": " + failure.context.url + " " + how;
  failure.retry = true;
  return failure;
}

bool Transfer::stream_head(Stream& stream, const HttpHead& head) {
  if (plan_.is_superseded(stream.piece)) {
    stream.superseded = true;
    return false;
  }
  if (head.status == 206 && !stream.piece.whole) return take_part(stream, head);
  if (head.status != 200) {
    stream.refusal = failure_of(stream, head.status,
                                "answered status " + std::to_string(head.status) + " where a body was expected");
    return false;
  }
  if (!stream.piece.whole) take_whole(stream);
  const std::string* length = head.find("content-length");
  stream.has_length = length != nullptr;
  if (plan_.size() && length != nullptr && *length != std::to_string(*plan_.size())) stream.piece.longer = true;
  return true;
}

bool Transfer::take_part(Stream& stream, const HttpHead& head) {
  PiecePlan::Piece& piece = stream.piece;
  const auto range = content_range(head);
  const bool honest = range && range->first == piece.position && (!range->total || *range->total == *plan_.size());
  if (!honest) {
    if (++lies_ >= 2) plan_.use_no_ranges();
    stream.refusal = failure_of(stream, head.status, "answers with another range than asked for");
    return false;
  }
  piece.longer = piece.longer || range->last + 1 > piece.end;
  return true;
}

// The server ignores Range and sends everything: let it, on this one connection.
void Transfer::take_whole(Stream& stream) {
  plan_.becomes_whole(stream.piece);
  resources_.loop.post([self = shared_from_this()] { self->drop_others(); });
}

void Transfer::drop_others() {
  if (phase_ == Phase::ending || phase_ == Phase::over) return;
  std::vector<Stream*> others;
  for (const auto& stream : streams_) {
    if (plan_.is_superseded(stream->piece)) others.push_back(stream.get());
  }
  for (Stream* other : others) remove_stream(*other);
}

void Transfer::note_beginning(std::uint64_t position, std::span<const std::byte> bytes) {
  constexpr std::size_t kBeginning = 64;
  if (position == 0) beginning_.clear();
  if (position != beginning_.size() || beginning_.size() >= kBeginning) return;
  const auto more = bytes.first(std::min(bytes.size(), kBeginning - beginning_.size()));
  beginning_.append(reinterpret_cast<const char*>(more.data()), more.size());
}

BodyVerdict Transfer::stream_body(Stream& stream, std::span<const std::byte> bytes) {
  if (!is_receiving()) return BodyVerdict::stop;
  PiecePlan::Piece& piece = stream.piece;
  if (plan_.is_superseded(piece)) {
    stream.superseded = true;
    return BodyVerdict::stop;
  }
  const auto wanted = bytes.first(std::min<std::uint64_t>(bytes.size(), piece.left()));
  note_beginning(piece.position, wanted);
  if (!plan_.size() && piece.position + wanted.size() > most_bytes_) {
    stream.refusal = too_large();
    return BodyVerdict::stop;
  }
  const bool is_news = plan_.is_news(piece, wanted.size());
  if (is_news && !sink_->put(stream.lane, piece.position, wanted)) return BodyVerdict::pause;
  const std::uint64_t news = plan_.took(piece, wanted.size(), EventLoop::Clock::now());
  if (is_news) {
    backoff_.progress(news);
    owner_->transfer_progressed(plan_.received(), plan_.size().value_or(0));
  }
  const bool full = piece.left() == 0;
  return full && (piece.longer || wanted.size() < bytes.size()) ? BodyVerdict::stop : BodyVerdict::take;
}

void Transfer::remove_stream(Stream& stream) {
  const auto at = std::find_if(streams_.begin(), streams_.end(), [&](const auto& one) { return one.get() == &stream; });
  if (at == streams_.end()) return;
  if (sink_) sink_->flush(stream.lane);
  PiecePlan::Piece& piece = stream.piece;
  streams_.erase(at);
  plan_.release(piece);
  resources_.budget.closed();
}

void Transfer::drop_streams() {
  while (!streams_.empty()) remove_stream(*streams_.back());
}

void Transfer::stream_ended(Stream& stream, std::optional<HttpFailure> failure) {
  const auto self = shared_from_this();
  const PiecePlan::Piece piece = stream.piece;
  const bool sized = plan_.size().has_value();
  const bool full = sized && piece.left() == 0;
  const bool ignore = stream.superseded || full || !is_receiving();
  const bool clean = !failure;
  // Of a body without a size the answer's end is the body's.
  const bool body_ended = clean && !ignore && !sized;
  if (clean && !ignore && !body_ended) {
    failure.emplace();
    failure->context.url = redacted(stream.url());
    failure->message = job_.what + ": the connection ended " + std::to_string(piece.left()) + " bytes early";
    failure->retry = true;
  }
  if (!failure && url_ != stream.url()) url_ = stream.url();  // saves the redirect next time
  const bool too_short = failure && !ignore && clean && piece.whole && stream.has_length;
  plan_.measure(stream.piece, EventLoop::Clock::now());
  remove_stream(stream);
  if (body_ended) {
    plan_.ends_at(piece.position);
    sink_->set_size(piece.position);
    return sink_changed();
  }
  if (ignore) {
    sink_changed();
    return fill();
  }
  if (!sized) plan_.forget();
  if (too_short) {
    return contradicted("the body is shorter than the announced " + std::to_string(piece.end) + " bytes");
  }
  failed(*failure);
}

void Transfer::sample() {
  struct Then {
    EventLoop::Clock::time_point time;
    std::uint64_t received, shortages;
    std::size_t delivering;
  };
  const auto shortages = [this] { return sink_ ? sink_->shortages() : 0; };
  sample_timer_ = resources_.loop.after(
      resources_.tuning.sample,
      [this, shortages, then = Then{EventLoop::Clock::now(), plan_.received(), shortages(), plan_.delivering()}] {
        TransferSample now;
        const std::uint64_t received = plan_.received();
        now.bytes = received > then.received ? received - then.received : 0;
        now.seconds = std::chrono::duration<double>(EventLoop::Clock::now() - then.time).count();
        now.delivering = then.delivering;
        now.short_of_memory = shortages() > then.shortages;
        throughput_.sample(now, connection_limit(), plan_.latency());
        sample();
        fill();
      });
}

void Transfer::sink_changed() {
  if (!is_receiving()) return conclude();
  if (sink_->error()) return finish(sink_->error());
  if (sink_->complete() && streams_.empty()) verify();
}

void Transfer::verify() {
  const FileMetadata& announced = job_.metadata;
  std::string digest = sink_->digest();
  if (is_lfs_pointer(beginning_, *plan_.size())) {
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
  enter(Phase::checking);
  job_has_file_ = true;
  resources_.files.run<Hashes>(
      [file = sink_->file(), size = *plan_.size()] {
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
        self->job_has_file_ = false;
        if (self->phase_ == Phase::ending) return self->conclude();
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

HttpFailure Transfer::integrity_failure(const std::string& how) const {
  HttpFailure failure;
  failure.code = Errc::integrity;
  const std::string& endpoint = job_.options->endpoint;
  failure.message = job_.what + ": " + how + "; nothing was stored. " +
                    (is_own_endpoint(endpoint) ? "The mirror " + redacted(endpoint) +
                                                     ", or a proxy before it, alters files or names them by other "
                                                     "etags than the hub's; ask its operator, or unset HF_ENDPOINT"
                                               : "Try again, or report it to the repository");
  return failure;
}

HttpFailure Transfer::too_large() const {
  const std::string of = plan_.size() ? "has " + std::to_string(*plan_.size()) + " bytes; at most "
                                      : std::string("does not say how large it is; at most ");
  return beyond_limit("names a file that " + of + std::to_string(most_bytes_) + " are taken", url_, job_.what);
}

HttpFailure Transfer::pointer_failure() const {
  return integrity_failure("what came is a Git LFS pointer and not the file that it stands for");
}

void Transfer::failed(const HttpFailure& failure) {
  if (!is_receiving()) return;
  if (failure.code == Errc::limit_exceeded) sink_->file()->remove();
  if (failure.context.http_status == 416) {
    plan_.use_no_ranges();
    return contradicted("the hub's host refuses a range inside the announced size");
  }
  HttpFailure again = failure;
  const bool expired = is_expired(failure);
  if (expired) again.retry = true;
  if (failure.context.http_status == 429 || failure.context.http_status == 503) throughput_.back_off();
  if (phase_ != Phase::fetching) return;  // one pause answers for all connections that broke together
  const auto wait = backoff_.next(again);
  if (!wait) return finish(failure.exception());
  if (expired) {
    enter(Phase::resolving);
    return resolve();
  }
  url_ = job_.metadata.location;
  enter(Phase::pausing);
  retry_timer_ = resources_.loop.after(*wait, [this] {
    retry_timer_.reset();
    enter(Phase::fetching);
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
  ask_first_ = fresh;
  enter(Phase::emptying);
  drop_streams();
  sink_->stop_hashing();
  conclude();
}

void Transfer::resolve() {
  Question question;
  question.url = job_.pinned_url;
  question.what = job_.what;
  question.options = job_.options;
  question.retries = resources_.tuning.retries;
  query_ = std::make_unique<Query>(resources_.loop, std::move(question),
                                   [this](std::optional<Answer> answer, std::optional<HttpFailure> failure) {
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
  if (phase_ == Phase::resolving) {
    enter(Phase::fetching);
    return fill();
  }
  job_.metadata.size = metadata.size;
  ask_first_ = false;
  enter(Phase::emptying);
  conclude();
}

// Again, where memory ran out in the middle of it: the result is the first one.
void Transfer::finish(std::exception_ptr error) {
  if (phase_ == Phase::over) return;
  if (phase_ != Phase::ending) {
    enter(Phase::ending);
    result_ = error;
  }
  if (sample_timer_) resources_.loop.cancel(*sample_timer_);
  sample_timer_.reset();
  drop_streams();
  if (result_ && sink_) sink_->stop_hashing();
  conclude();
}

// Once no job touches the file any more: hand it over, or begin again.
void Transfer::conclude() {
  if (job_has_file_ || (sink_ && !sink_->idle())) return;
  if (phase_ == Phase::ending) {
    enter(Phase::over);
    resources_.budget.leave(*this);
    if (sink_) received_file_.file = sink_->file();
    if (sink_) sink_->silence();
    // Not from here: the caller may be in the middle of a call of ours.
    return resources_.loop.post(std::move(end_task_));
  }
  if (phase_ != Phase::emptying) return;
  if (ask_first_) {
    enter(Phase::asking);
    return resolve();
  }
  sink_->silence();
  auto file = sink_->file();
  sink_.reset();
  open([file, size = job_.metadata.size] {
    file->restart(size);
    return file;
  });
}

void Transfer::tell_end() {
  const auto owner = std::move(owner_);
  owner->transfer_ended(result_, result_ ? Received{} : std::move(received_file_));
}

}  // namespace stella::hub
