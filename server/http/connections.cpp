#include "server/http/connections.hpp"

#include "stella/detail/patience.hpp"

#include <new>
#include <utility>
#include <vector>

namespace stella::server {

Connections::Entry::Entry(std::shared_ptr<Connections> all, const std::string& address, bool late)
    : all_(std::move(all)), address_(address), late_(late) {}

Connections::Entry::~Entry() {
  if (!entered_) return;
  std::shared_ptr<const std::function<void()>> on_empty;
  {
    const std::lock_guard lock(all_->mutex_);
    all_->entries_.erase(place_);
    const auto count = all_->per_address_.find(address_);
    if (--count->second == 0) all_->per_address_.erase(count);
    if (!late_ && --all_->early_ == 0) on_empty = all_->on_empty_;
  }
  try {
    if (on_empty) detail::with_patience(*on_empty);
  } catch (const std::bad_alloc&) {  // the end of the drain's time is the server's end then
  }
}

void Connections::Entry::set_calls(std::function<void()> on_drain, std::function<void()> on_stop) {
  const std::lock_guard lock(all_->mutex_);
  on_drain_ = std::move(on_drain);
  on_stop_ = std::move(on_stop);
}

std::shared_ptr<Connections::Entry> Connections::enter(const std::string& address, bool late) {
  auto entry = std::make_shared<Entry>(shared_from_this(), address, late);
  const std::lock_guard lock(mutex_);
  const auto known = per_address_.find(address);
  const std::size_t of_address = known == per_address_.end() ? 0 : known->second;
  if (entries_.size() >= limits_.connections || of_address >= limits_.connections_per_address) return nullptr;
  entry->place_ = entries_.insert(entries_.end(), entry.get());
  try {
    ++per_address_[address];
  } catch (...) {
    entries_.erase(entry->place_);
    throw;
  }
  early_ += late ? 0 : 1;
  entry->entered_ = true;
  return entry;
}

void Connections::call_all(std::function<void()> Entry::*call) {
  std::vector<std::function<void()>> calls;
  detail::with_patience([&] {
    calls.clear();
    const std::lock_guard lock(mutex_);
    for (const Entry* entry : entries_) calls.push_back(entry->*call);
  });
  for (const auto& one : calls) {
    if (one) detail::with_patience([&] { one(); });
  }
}

void Connections::drain() {
  call_all(&Entry::on_drain_);
}

void Connections::stop() {
  call_all(&Entry::on_stop_);
}

void Connections::set_on_empty(std::function<void()> on_empty) {
  auto shared = std::make_shared<const std::function<void()>>(std::move(on_empty));
  const std::lock_guard lock(mutex_);
  on_empty_ = std::move(shared);
}

void Connections::set_limits(const Limits& limits) {
  const std::lock_guard lock(mutex_);
  limits_ = limits;
}

std::size_t Connections::early() const {
  const std::lock_guard lock(mutex_);
  return early_;
}

}  // namespace stella::server
