// Whose turn it is: requests in, the next texts to tokenize or to compute out. No threads and no clock of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace stella::engine {

/// Most tokens of one forward pass, but for a single longer text, which goes alone. It bounds the activations. A weight
/// panel is read once per pass, so more would gain little: at this many rows the products are bound by arithmetic, not
/// by memory.
inline constexpr std::size_t kTokensPerPass = 2048;
/// The same for a pass that interrupts another one.
inline constexpr std::size_t kTokensPerUrgentPass = 512;
/// A pass takes at least as long as one of so many tokens: reading the weights bounds it from below.
inline constexpr std::size_t kLeastTokensOfPass = 64;

enum class Urgency : std::uint8_t { interactive, bulk };

using RequestId = std::uint64_t;

/// One text of a request.
struct TextOfRequest {
  RequestId request = 0;
  std::size_t text = 0;
  friend bool operator==(const TextOfRequest&, const TextOfRequest&) = default;
};

/// Requests that wait for the same thing. Clients take turns: one text of each at a time; the requests of one client
/// take its turns one after another.
class Turns {
 public:
  struct Request {
    RequestId id = 0;
    const void* model = nullptr;       // only texts of one model are taken together
    std::string client{};              //
    std::vector<std::uint32_t> costs;  // (texts), at least one
  };

  bool empty() const noexcept { return clients_.empty(); }
  void add(Request request);
  /// Forgets what is left of a request; one that is not here is none.
  void remove(RequestId id) noexcept;
  /// Texts of the model whose turn it is, of at most `max_cost` together but at least one text, and at most
  /// `max_texts`. A client whose next text does not fit has ended its turn; those that were served go to the end.
  /// Throws std::bad_alloc, and has done nothing then.
  std::vector<TextOfRequest> take(std::size_t max_cost, std::size_t max_texts);

 private:
  struct Entry {
    RequestId id;
    std::vector<std::uint32_t> costs;
    std::size_t next = 0;
  };
  struct Queue {
    const void* model;
    std::list<Entry> entries;
  };
  struct Client {
    std::string key;
    std::list<Queue> queues;
    bool served = false;  // by the take() that is going on
  };
  struct Place {
    std::list<Client>::iterator client;
    std::list<Queue>::iterator queue;
    std::list<Entry>::iterator entry;
  };
  struct Turn {
    std::list<Client>::iterator client;
    std::list<Queue>::iterator queue;
  };

  std::vector<Turn> turns_of_front_model();
  void drop(const Place& place) noexcept;
  void end_turn(const Turn& turn) noexcept;

  std::list<Client> clients_;  // whose turn is next first; each has something
  std::unordered_map<std::string, std::list<Client>::iterator> by_key_;
  std::unordered_map<RequestId, Place> places_;
  std::size_t texts_ = 0;
};

/// What waits, from the moment it is asked for: first for tokens, then for a forward pass. Interactive requests and
/// bulk ones are never taken together. Interactive ones go first, but only as far ahead as `balance` allows: with every
/// pass that overtakes bulk work it falls by that pass's tokens, and rises again, up to 0, with bulk work that is done.
/// So bulk keeps half of the time at the least. Not thread-safe.
class Schedule {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// What may wait at once, in texts and in tokens; 0: any number. A request is always taken where nothing waits.
  struct Limits {
    std::size_t texts = 0;
    std::size_t tokens = 0;
  };
  struct Request {
    RequestId id = 0;
    const void* model = nullptr;
    std::string client{};
    Urgency urgency = Urgency::bulk;
    bool tokenized = false;
    std::vector<std::uint32_t> sizes{};  // (texts): bytes, or tokens where tokenized; at least one text
    std::optional<Time> deadline{};
  };

  /// For so many teams, which are to have something each before one has a full pass.
  explicit Schedule(std::size_t teams = 1) : teams_(teams) {}
  Schedule(std::size_t teams, Limits limits) : teams_(teams), limits_(limits) {}

  /// False, and nothing else, where more would wait than may.
  bool add(const Request& request);
  /// All texts of a request have tokens: `tokens` (texts) each.
  void tokenized(RequestId id, std::vector<std::uint32_t> tokens);
  /// The request is over. One that is not here is none.
  void remove(RequestId id) noexcept;

  std::optional<Time> next_deadline() const;
  /// A request whose deadline has passed; it stays until it is removed.
  std::optional<RequestId> expired(Time now) const;

  bool has_texts(Urgency urgency) const noexcept { return !of(urgency).texts.empty(); }
  bool has_passes(Urgency urgency) const noexcept { return !of(urgency).passes.empty(); }
  bool empty() const noexcept;
  std::size_t waiting_texts() const noexcept { return waiting_.texts; }
  /// Of texts without tokens an estimate.
  std::size_t waiting_tokens() const noexcept { return waiting_.tokens; }

  /// Texts to tokenize next.
  std::vector<TextOfRequest> take_texts(Urgency urgency, std::size_t max_bytes, std::size_t max_texts);
  /// What the next pass should be of, where no pass is under way.
  std::optional<Urgency> next_pass() const noexcept;
  /// Whether an interactive request waits and may overtake bulk work.
  bool may_overtake() const noexcept;
  /// Texts of the next pass, or of one that interrupts a bulk pass.
  std::vector<TextOfRequest> take_pass(Urgency urgency);
  std::vector<TextOfRequest> take_urgent_pass();
  /// A bulk pass of so many tokens has been computed.
  void bulk_ran(std::size_t tokens) noexcept;

 private:
  struct Queues {
    Turns texts;
    Turns passes;
  };
  struct Known {
    const void* model;
    std::string client;
    Urgency urgency;
    std::vector<std::uint32_t> tokens;  // (texts), estimates before they are tokenized; 0 once a pass has the text
    std::optional<Time> deadline;
  };

  Queues& of(Urgency urgency) noexcept { return queues_[static_cast<std::size_t>(urgency)]; }
  const Queues& of(Urgency urgency) const noexcept { return queues_[static_cast<std::size_t>(urgency)]; }
  std::vector<TextOfRequest> take_tokens(Urgency urgency, std::size_t max_tokens, bool overtakes);
  void count_out(Known& known, std::size_t text) noexcept;

  std::size_t teams_;
  Limits limits_;
  Limits waiting_;
  Queues queues_[2];
  std::unordered_map<RequestId, Known> known_;
  std::set<std::pair<Time, RequestId>> deadlines_;
  std::ptrdiff_t balance_ = 0;  // tokens, never above 0
};

}  // namespace stella::engine
