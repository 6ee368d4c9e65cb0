// Who may open how many connections.
#pragma once

#include "hub/http/event_loop.hpp"

#include <cstddef>
#include <vector>

namespace stella::hub {

/// Whoever has connections.
class ConnectionUser {
 public:
  virtual std::size_t connections() const noexcept = 0;
  /// Whether it would open one more.
  virtual bool wants_connection() const = 0;
  /// Opens connections where there is work and budget.
  virtual void fill() = 0;

 protected:
  ~ConnectionUser() = default;
};

/// Shares the connections out over all transfers: everyone gets one before anyone gets a second one.
class ConnectionBudget {
 public:
  explicit ConnectionBudget(EventLoop& loop) : loop_(loop) {}
  void join(ConnectionUser& user) { members_.push_back(&user); }
  void leave(ConnectionUser& user);
  bool may_open(const ConnectionUser& user, std::size_t limit) const;
  void opened() noexcept { ++used_; }
  /// Gives a connection back; whoever has none gets it, from a later task of the loop.
  void closed();

 private:
  EventLoop& loop_;
  std::vector<ConnectionUser*> members_;
  std::size_t used_ = 0;
};

}  // namespace stella::hub
