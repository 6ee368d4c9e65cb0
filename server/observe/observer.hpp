// Sees every request that is answered: for the access log and for traces.
#pragma once

#include "server/http/message.hpp"
#include "server/observe/logs.hpp"
#include "server/observe/spans.hpp"

#include <memory>

namespace stella::server {

/// Thread-safe; nothing here waits.
class Observer {
 public:
  /// Null for what is not wanted.
  Observer(std::shared_ptr<LogWriter> access_log, std::shared_ptr<SpanExporter> spans)
      : access_log_(std::move(access_log)), spans_(std::move(spans)) {}

  /// A request's header is there: gives it an id, notes the time and takes up its `traceparent`.
  static void begin(Request& request);
  /// It has its answer, which is told the trace where the request came with one.
  void end(const Request& request, Response& response) const;

 private:
  const std::shared_ptr<LogWriter> access_log_;
  const std::shared_ptr<SpanExporter> spans_;
};

}  // namespace stella::server
