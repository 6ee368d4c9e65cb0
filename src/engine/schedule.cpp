#include "engine/schedule.hpp"

#include <algorithm>
#include <numeric>

namespace stella::engine {
namespace {

/// How far interactive requests may be ahead: one full pass.
constexpr auto kLead = static_cast<std::ptrdiff_t>(kTokensPerPass);

/// Of a pass that is small so that other teams have one too.
constexpr std::size_t kLeastTokensOfShare = 512;

/// Of a text before it is tokenized. Tokens of running text have four bytes or so.
std::uint32_t estimated_tokens(std::uint32_t bytes) noexcept {
  return bytes / 4 + 1;
}

}  // namespace

void Turns::add(Request request) {
  // What is made first goes again where the rest cannot be had.
  std::list<Client> client;
  std::list<Queue> queue;
  std::list<Entry> entry;
  const std::size_t texts = request.costs.size();
  entry.push_back({request.id, std::move(request.costs)});
  queue.push_back({request.model, {}});
  auto known = by_key_.find(request.client);
  if (known == by_key_.end()) client.push_back({request.client, {}});
  const auto place = places_.try_emplace(request.id).first;
  try {
    if (known == by_key_.end()) known = by_key_.try_emplace(request.client, client.begin()).first;
  } catch (...) {
    places_.erase(place);
    throw;
  }
  clients_.splice(clients_.end(), client);
  std::list<Queue>& queues = known->second->queues;
  auto same = std::find_if(queues.begin(), queues.end(), [&](const Queue& q) { return q.model == request.model; });
  if (same == queues.end()) {
    same = queue.begin();
    queues.splice(queues.end(), queue);
  }
  place->second = {known->second, same, entry.begin()};
  same->entries.splice(same->entries.end(), entry);
  texts_ += texts;
}

void Turns::remove(RequestId id) noexcept {
  const auto found = places_.find(id);
  if (found == places_.end()) return;
  const Place place = found->second;
  texts_ -= place.entry->costs.size() - place.entry->next;
  places_.erase(found);
  place.queue->entries.erase(place.entry);
  drop(place);
}

/// Queues and clients go with the last that they had.
void Turns::drop(const Place& place) noexcept {
  if (!place.queue->entries.empty()) return;
  place.client->queues.erase(place.queue);
  if (!place.client->queues.empty()) return;
  by_key_.erase(place.client->key);
  clients_.erase(place.client);
}

std::vector<Turns::Turn> Turns::turns_of_front_model() {
  std::vector<Turn> turns;
  if (clients_.empty()) return turns;
  const void* const model = clients_.front().queues.front().model;
  for (auto client = clients_.begin(); client != clients_.end(); ++client) {
    const auto queue =
        std::find_if(client->queues.begin(), client->queues.end(), [&](const Queue& q) { return q.model == model; });
    if (queue != client->queues.end()) turns.push_back({client, queue});
  }
  return turns;
}

std::vector<TextOfRequest> Turns::take(std::size_t max_cost, std::size_t max_texts) {
  std::vector<Turn> turns = turns_of_front_model();
  const std::vector<Turn> all = turns;
  std::vector<TextOfRequest> taken;
  taken.reserve(std::min(texts_, max_texts));  // from here on nothing fails
  std::size_t cost = 0;
  while (!turns.empty()) {
    std::erase_if(turns, [&](const Turn& turn) {
      std::list<Entry>& entries = turn.queue->entries;
      Entry& entry = entries.front();
      const std::size_t next = cost + entry.costs[entry.next];
      if (taken.size() == max_texts || (!taken.empty() && next > max_cost)) return true;
      cost = next;
      taken.push_back({entry.id, entry.next});
      turn.client->served = true;
      if (++entry.next < entry.costs.size()) {
        entries.splice(entries.end(), entries, entries.begin());
      } else {
        places_.erase(entry.id);
        entries.pop_front();
      }
      return entries.empty();
    });
  }
  texts_ -= taken.size();
  for (const Turn& turn : all) {
    if (turn.client->served) end_turn(turn);
  }
  return taken;
}

void Turns::end_turn(const Turn& turn) noexcept {
  turn.client->served = false;
  turn.client->queues.splice(turn.client->queues.end(), turn.client->queues, turn.queue);
  clients_.splice(clients_.end(), clients_, turn.client);
  drop({turn.client, turn.queue, {}});
}

bool Schedule::add(const Request& request) {
  std::vector<std::uint32_t> tokens = request.sizes;
  if (!request.tokenized) std::transform(tokens.begin(), tokens.end(), tokens.begin(), estimated_tokens);
  const std::size_t sum = std::accumulate(tokens.begin(), tokens.end(), std::size_t{0});
  const auto fits = [](std::size_t waiting, std::size_t more, std::size_t limit) {
    return limit == 0 || waiting == 0 || waiting + more <= limit;
  };
  if (!fits(waiting_.texts, request.sizes.size(), limits_.texts) || !fits(waiting_.tokens, sum, limits_.tokens)) {
    return false;
  }
  try {
    if (request.deadline) deadlines_.emplace(*request.deadline, request.id);
    known_.try_emplace(request.id,
                       Known{request.model, request.client, request.urgency, std::move(tokens), request.deadline});
    Turns& turns = request.tokenized ? of(request.urgency).passes : of(request.urgency).texts;
    // Texts of every model are tokenized together.
    turns.add({request.id, request.tokenized ? request.model : nullptr, request.client, request.sizes});
  } catch (...) {
    if (request.deadline) deadlines_.erase({*request.deadline, request.id});
    known_.erase(request.id);
    throw;
  }
  waiting_.texts += request.sizes.size();
  waiting_.tokens += sum;
  return true;
}

void Schedule::tokenized(RequestId id, std::vector<std::uint32_t> tokens) {
  const auto found = known_.find(id);
  if (found == known_.end()) return;
  Known& known = found->second;
  of(known.urgency).passes.add({id, known.model, known.client, tokens});
  for (std::size_t i = 0; i < tokens.size(); ++i) waiting_.tokens = waiting_.tokens - known.tokens[i] + tokens[i];
  known.tokens = std::move(tokens);
}

void Schedule::count_out(Known& known, std::size_t text) noexcept {
  if (known.tokens[text] == 0) return;
  --waiting_.texts;
  waiting_.tokens -= known.tokens[text];
  known.tokens[text] = 0;
}

void Schedule::remove(RequestId id) noexcept {
  const auto found = known_.find(id);
  if (found == known_.end()) return;
  Known& known = found->second;
  for (std::size_t i = 0; i < known.tokens.size(); ++i) count_out(known, i);
  of(known.urgency).texts.remove(id);
  of(known.urgency).passes.remove(id);
  if (known.deadline) deadlines_.erase({*known.deadline, id});
  known_.erase(found);
}

std::optional<Schedule::Time> Schedule::next_deadline() const {
  return deadlines_.empty() ? std::nullopt : std::optional(deadlines_.begin()->first);
}

std::optional<RequestId> Schedule::expired(Time now) const {
  if (deadlines_.empty() || deadlines_.begin()->first > now) return std::nullopt;
  return deadlines_.begin()->second;
}

bool Schedule::empty() const noexcept {
  return std::all_of(std::begin(queues_), std::end(queues_),
                     [](const Queues& queues) { return queues.texts.empty() && queues.passes.empty(); });
}

std::vector<TextOfRequest> Schedule::take_texts(Urgency urgency, std::size_t max_bytes, std::size_t max_texts) {
  return of(urgency).texts.take(max_bytes, max_texts);
}

std::optional<Urgency> Schedule::next_pass() const noexcept {
  const bool bulk = has_passes(Urgency::bulk);
  if (has_passes(Urgency::interactive) && (!bulk || may_overtake())) return Urgency::interactive;
  return bulk ? std::optional(Urgency::bulk) : std::nullopt;
}

bool Schedule::may_overtake() const noexcept {
  return balance_ > -kLead && (has_texts(Urgency::interactive) || has_passes(Urgency::interactive));
}

std::vector<TextOfRequest> Schedule::take_pass(Urgency urgency) {
  const std::size_t tokens = std::clamp(waiting_.tokens / teams_, kLeastTokensOfShare, kTokensPerPass);
  return take_tokens(urgency, teams_ == 1 ? kTokensPerPass : tokens,
                     urgency == Urgency::interactive && has_passes(Urgency::bulk));
}

std::vector<TextOfRequest> Schedule::take_urgent_pass() {
  return take_tokens(Urgency::interactive, kTokensPerUrgentPass, true);
}

std::vector<TextOfRequest> Schedule::take_tokens(Urgency urgency, std::size_t max_tokens, bool overtakes) {
  std::vector<TextOfRequest> taken = of(urgency).passes.take(max_tokens, max_tokens);
  std::size_t tokens = 0;
  for (const TextOfRequest& text : taken) {
    Known& known = known_.at(text.request);
    tokens += known.tokens[text.text];
    count_out(known, text.text);
  }
  if (overtakes && !taken.empty()) balance_ -= static_cast<std::ptrdiff_t>(std::max(tokens, kLeastTokensOfPass));
  return taken;
}

void Schedule::bulk_ran(std::size_t tokens) noexcept {
  balance_ = std::min<std::ptrdiff_t>(0, balance_ + static_cast<std::ptrdiff_t>(tokens));
}

}  // namespace stella::engine
