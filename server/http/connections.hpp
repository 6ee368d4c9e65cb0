// Who is connected.
#pragma once

#include "server/options.hpp"

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace stella::server {

/// Thread-safe.
class Connections : public std::enable_shared_from_this<Connections> {
 public:
  explicit Connections(const Limits& limits) : limits_(limits) {}

  /// Stands for one connection.
  class Entry {
   public:
    Entry(std::shared_ptr<Connections> all, const std::string& address, bool late);
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry();

    /// Not among the connections that drain() waits for: it came later.
    bool is_late() const noexcept { return late_; }
    /// What drain() and stop() call, from any thread; they post to the connection's strand.
    void set_calls(std::function<void()> on_drain, std::function<void()> on_stop);

   private:
    friend class Connections;
    const std::shared_ptr<Connections> all_;
    const std::string address_;
    const bool late_;
    bool entered_ = false;
    std::function<void()> on_drain_{};  // guarded by all_->mutex_
    std::function<void()> on_stop_{};   // guarded by all_->mutex_
    std::list<Entry*>::iterator place_;
  };

  /// Null where there are as many as may be, in all or from this address.
  std::shared_ptr<Entry> enter(const std::string& address, bool late);
  /// Tells every connection to end once what was sent to it has been answered.
  void drain();
  /// Tells every connection to end now.
  void stop();
  /// Calls it whenever the last connection that is not late ends.
  void set_on_empty(std::function<void()> on_empty);
  std::size_t early() const;  ///< Connections that are not late.
  /// For those that come from now on.
  void set_limits(const Limits& limits);

 private:
  void call_all(std::function<void()> Entry::*call);

  mutable std::mutex mutex_{};
  Limits limits_;  // guarded by mutex_, as what follows
  std::list<Entry*> entries_{};
  std::map<std::string, std::size_t> per_address_{};
  std::size_t early_ = 0;  ///< Connections that are not late.
  std::shared_ptr<const std::function<void()>> on_empty_{};
};

}  // namespace stella::server
