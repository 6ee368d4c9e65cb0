#include "hub/download/connection_budget.hpp"

#include <algorithm>

namespace stella::hub {

void ConnectionBudget::leave(ConnectionUser& user) {
  std::erase(members_, &user);
}

bool ConnectionBudget::may_open(const ConnectionUser& user, std::size_t limit) const {
  if (used_ >= limit) return false;
  if (user.connections() == 0) return true;
  return std::none_of(members_.begin(), members_.end(), [&](const ConnectionUser* other) {
    return other != &user && other->connections() == 0 && other->wants_connection();
  });
}

void ConnectionBudget::closed() {
  --used_;
  loop_.post([this] {
    // By index: filling may end one member and so remove it, but never adds one.
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (members_[i]->connections() == 0) members_[i]->fill();
    }
  });
}

}  // namespace stella::hub
