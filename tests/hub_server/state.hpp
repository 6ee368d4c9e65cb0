// What the server's threads share, and the steps between a request and the bytes of its answer.
#pragma once

#include "content.hpp"
#include "http.hpp"
#include "hub_server.hpp"
#include "tls.hpp"

#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>
#include <set>

namespace stella::test {

struct ActiveFault {
  Fault fault{};
  std::size_t seen = 0;
  std::size_t applied = 0;
};

struct GateState {
  std::uint64_t permits = 0;
  bool open = false;
  std::size_t stops = 0;  ///< Bodies that have stopped here since the start.
};

struct State {
  HubServerOptions options{};
  TlsIdentity tls{};
  std::string secret{};
  std::uint16_t hub_port = 0;
  std::uint16_t cdn_port = 0;
  std::atomic<std::uint64_t> rate{0};

  mutable std::mutex mutex{};
  mutable std::condition_variable changed{};
  // All below: guarded by mutex.
  std::map<std::string, Repo> repos{};
  std::map<std::string, BlobPtr> blobs{};  ///< Large files by sha256, for the CDN.
  std::list<ActiveFault> faults{};
  std::map<std::string, GateState> gates{};
  std::vector<std::shared_ptr<Request>> log{};
  std::set<Stream*> streams{};
  std::uint64_t connections = 0;
  std::uint64_t url_generation = 0;
  std::size_t faults_applied = 0;
  std::size_t threads = 0;
  bool suspended = false;
  bool stopping = false;

  std::string endpoint(Port which) const;
  /// Sleeps until `when`; false where the server stops first.
  bool sleep_until(std::chrono::steady_clock::time_point when) const;
};

/// An answer before any fault.
struct Answer {
  int status = 200;
  Headers headers{};
  std::string body{};  ///< Where there is no blob.
  BlobPtr blob{};      ///< A whole file, of which Range may take a part.
  std::string path{};  ///< For the log and for faults: "org/name/file" where the request is for a file.
};

/// What the hub or the CDN answers; takes the mutex.
Answer answer_hub(State& state, const RequestHead& request);
Answer answer_cdn(State& state, const RequestHead& request);

/// Serves requests until the connection ends.
void serve(State& state, Stream& stream, Port port, std::uint64_t connection);

}  // namespace stella::test
