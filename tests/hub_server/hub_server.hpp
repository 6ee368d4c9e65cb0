// A model hub on two loopback ports, for tests: it speaks the hub's protocol over directories and breaks it on request.
//
//   HubServer hub;
//   std::string commit = hub.add_revision("org/name", "main", "models/stella-demo");
//   options.endpoint = hub.endpoint();                                   // HF_ENDPOINT
//   hub.inject({.port = Port::cdn, .path = "2_Dense_256", .times = 1, .cut_at = 1000});
//
// The first port is the hub (metadata, small files, listings), the second the CDN (large files, behind signed URLs).
// One thread serves each connection; bodies that lie in files are sent with sendfile(2).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella::test {

enum class Port : std::uint8_t { any, hub, cdn };

enum class Tls : std::uint8_t {
  off,
  trusted,    ///< Signed by the authority in ca_file().
  untrusted,  ///< Signed by an authority that nobody knows.
  wrong_host  ///< Signed by the authority in ca_file(), for another name.
};

struct HubServerOptions {
  Tls tls = Tls::off;
  /// Files of at least this many bytes, and every *.safetensors, are "large": kept by the CDN, etag = sha256.
  std::uint64_t large_from = 10'000'000;
  /// Bytes per second of each connection's bodies; 0: unlimited.
  std::uint64_t rate_per_connection = 0;
  /// Signed URLs work for this long; 0: until expire_signed_urls().
  std::chrono::milliseconds url_lifetime{0};
  /// Entries on one page of a tree listing (the rest behind `Link: rel="next"`).
  std::size_t page_size = 1000;
  /// Adds the X-Xet-* headers that the real hub sends for large files; a plain client ignores them.
  bool xet_headers = false;
  /// The CDN is "localhost" rather than 127.0.0.1 with another port, so that host and port both differ.
  bool cdn_on_other_host = false;
};

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::size_t kAlways = std::numeric_limits<std::size_t>::max();

/// What to do with requests that match. Everything of the second and third group may be combined; offsets count bytes
/// of the response's body as this response would have carried it whole.
struct Fault {
  // Which requests: all that match, but the first `skip`, at most `times`.
  Port port = Port::any;
  std::string method{};      ///< "GET", "HEAD"; empty: any.
  std::string path{};        ///< Substring of the path or, on the CDN, of the repository's "org/name/file"; empty: any.
  bool only_ranges = false;  ///< Only requests with a Range header that does not start at 0.
  std::size_t skip = 0;
  std::size_t times = 1;

  // The head of the answer.
  int status = 0;  ///< Answer with this status and `body` in place of the file.
  std::string body{};
  std::map<std::string, std::string> headers{};  ///< Set or, with "-" for the value, remove. Names in any case.
  std::string raw{};                             ///< Send exactly these bytes in place of an answer, then close.
  bool close_at_once = false;                    ///< Close before any byte of the answer (with `reset`: by RST).
  std::chrono::milliseconds delay{0};            ///< Before the answer.
  bool ignore_range = false;                     ///< 200 and the whole file for a Range request.
  std::int64_t lie_about_range = 0;              ///< 206 with bytes and Content-Range that start this much later.
  std::int64_t shift_body = 0;                   ///< 206 whose Content-Range is as asked, but whose bytes are not.
  std::int64_t length_delta = 0;                 ///< Content-Length is wrong by this much; the body is whole.
  bool chunked = false;                          ///< Transfer-Encoding: chunked, without a length.
  bool redirect_to_self = false;                 ///< 307 to the same address, for ever.
  bool expire_urls = false;                      ///< expire_signed_urls() before the answer.

  // The body.
  std::uint64_t cut_at = kNever;    ///< Close after this many bytes.
  bool reset = false;               ///< With cut_at or close_at_once: by RST, not FIN (TLS: without close_notify).
  std::uint64_t stall_at = kNever;  ///< Send nothing after this many bytes, until the client or the server closes.
  std::uint64_t flip_at = kNever;   ///< Flip one bit of this byte of the file (not of the response).
  std::size_t drip_bytes = 0;       ///< Send this many bytes at a time …
  std::chrono::milliseconds drip_every{0};  ///< … this far apart.
  std::uint64_t rate = 0;                   ///< Bytes per second, in place of the server's.
  /// Name of a gate: the body stops at `gate_at`, and then after every `gate_step` bytes (0: not again), and goes on
  /// as the test calls permit(gate) once for each stop, or release(gate).
  std::string gate{};
  std::uint64_t gate_at = 0;
  std::uint64_t gate_step = 0;
};

/// One request as the server saw it.
struct Request {
  Port port = Port::hub;
  std::uint64_t connection = 0;  ///< Number of the connection, counted over both ports.
  std::string method{};
  std::string target{};                          ///< As sent: percent-encoded, with the query.
  std::string path{};                            ///< "org/name/file" for files; else the decoded path.
  std::map<std::string, std::string> headers{};  ///< Names in lower case.
  int status = 0;                                ///< 0: no answer was sent.
  std::uint64_t body_bytes = 0;                  ///< Handed to the kernel so far.
  bool faulted = false;
};

/// Thread-safe. The destructor closes every connection and joins every thread.
class HubServer {
 public:
  explicit HubServer(HubServerOptions options = {});
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;
  ~HubServer();

  std::string endpoint() const;  ///< "http://127.0.0.1:PORT", or https.
  std::string cdn_endpoint() const;
  std::uint16_t port() const;
  std::uint16_t cdn_port() const;
  /// PEM file with the authority's certificate (SSL_CERT_FILE); empty without TLS. Removed by the destructor.
  std::filesystem::path ca_file() const;

  /// Adds a revision whose files are those below `directory` (symlinks followed), read as they are asked for. Returns
  /// its commit, derived from the contents unless `commit` gives it. A revision of the same name is moved; what it
  /// named before stays reachable by commit.
  std::string add_revision(const std::string& repo, const std::string& revision, const std::filesystem::path& directory,
                           const std::string& commit = {});
  /// The same from (path, content) pairs.
  std::string add_revision(const std::string& repo, const std::string& revision,
                           const std::map<std::string, std::string>& files, const std::string& commit = {});
  void remove_repo(const std::string& repo);

  /// From now on the repository needs `token`: without it 401 (RepoNotFound, as for a repository that is private).
  void set_private(const std::string& repo, const std::string& token);
  /// From now on the repository is gated: 401 GatedRepo without a token, 403 GatedRepo with another than `token`.
  void set_gated(const std::string& repo, const std::string& token);

  /// Hash and size of a file, as the etag has it (without quotes).
  std::string etag(const std::string& repo, const std::string& revision, const std::string& file) const;

  void inject(Fault fault);
  void clear_faults();
  /// How often a fault was applied, over all faults injected since the last clear_faults().
  std::size_t faults_applied() const;
  /// From now on the CDN answers 403 to every URL signed until now.
  void expire_signed_urls();
  /// Bodies' speed from now on, as HubServerOptions has it.
  void set_rate(std::uint64_t bytes_per_second_per_connection);
  /// Refuses connections and closes the open ones, until resume(): the hub is down, its ports stay its own.
  void suspend();
  void resume();

  void permit(const std::string& gate, std::uint64_t stops = 1);
  void release(const std::string& gate);
  /// Waits until a body has stopped at the gate at least `times` since the start; false after `limit`.
  bool wait_at_gate(const std::string& gate, std::size_t times = 1,
                    std::chrono::milliseconds limit = std::chrono::seconds(60)) const;

  /// All requests so far, in the order of their arrival.
  std::vector<Request> log() const;
  void clear_log();
  /// Requests whose path contains `path`.
  std::size_t count(Port port, const std::string& method, const std::string& path = {}) const;
  /// Body bytes sent for files whose path contains `path`.
  std::uint64_t body_bytes(const std::string& path = {}) const;
  std::size_t open_connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "port=cdn,path=model,times=2,cut_at=1000,reset" as a Fault: the names above; headers as header=Name:value; times
/// in milliseconds; "always" for times. Throws std::invalid_argument that names what it does not know.
Fault parse_fault(const std::string& text);

}  // namespace stella::test
