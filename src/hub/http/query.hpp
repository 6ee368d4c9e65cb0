// A small question to the hub (HEAD of a file, GET of a listing): failures that may pass are retried.
#pragma once

#include "hub/http/fetch.hpp"
#include "hub/http/retry.hpp"

#include <memory>
#include <optional>
#include <string>

namespace stella::hub {

struct Answer {
  HttpHead head;
  std::string body;
};

struct Question {
  bool head = true;
  std::string url;
  std::string what;  ///< For messages: the file and the repository.
  std::shared_ptr<const HubOptions> options;
  RetryPolicy retries;
  std::size_t most_bytes = std::size_t{1} << 20U;  ///< Of the answer's body.
};

/// Runs one question; loop thread only. Destroying it ends it without an answer.
class Query {
 public:
  /// `done` gets an answer of status 2xx, or a redirect that leaves the hub (not followed), or a failure. It may
  /// destroy the query.
  using Done = UniqueFunction<void(std::optional<Answer>, std::optional<HttpFailure>)>;

  Query(EventLoop& loop, Question question, Done done);
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();

 private:
  void ask();
  void answered(std::optional<HttpFailure> failure);
  void fail(const HttpFailure& failure);
  void complete(std::optional<Answer> answer, std::optional<HttpFailure> failure);

  EventLoop& loop_;
  Question question_;
  Done done_;
  Backoff backoff_;
  Answer answer_;
  bool too_long_ = false;
  std::unique_ptr<Fetch> fetch_;
  std::optional<EventLoop::TimerId> timer_;
};

}  // namespace stella::hub
