// How much may be under way at once, counted in texts and in tokens: single requests and batches alike, in all and of
// each client.
#pragma once

#include "server/cost.hpp"
#include "server/options.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace stella::server {

/// Seconds until `tokens` are done at `rate` tokens a second, 1 to 60; spread by `jitter` (0 to 1) from three quarters
/// to five quarters of that, so that those who were refused together do not come back together.
unsigned retry_after(std::size_t tokens, double rate, double jitter);

/// Thread-safe.
class Admission {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  explicit Admission(const AdmissionLimits& limits, Clock clock = std::chrono::steady_clock::now);

  /// Gives back at its end what it stands for.
  class Permit {
   public:
    Permit(Admission& admission, std::string client, Cost cost)
        : admission_(&admission), client_(std::move(client)), cost_(cost) {}
    Permit(Permit&& other) noexcept
        : admission_(std::exchange(other.admission_, nullptr)), client_(std::move(other.client_)), cost_(other.cost_) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (admission_ != nullptr) admission_->leave(client_, cost_, done_);
    }

    /// It has been computed, and counts for the rate.
    void set_done() noexcept { done_ = true; }

   private:
    Admission* admission_ = nullptr;
    std::string client_;
    Cost cost_;
    bool done_ = false;
  };

  /// Nothing where it would be more than a limit. What comes alone is let in whatever it costs, and what has no texts
  /// counts as one.
  std::optional<Permit> enter(std::string client, const Cost& cost);
  Cost under_way() const;
  /// For whoever was refused.
  unsigned seconds_to_wait(double jitter) const;
  /// For what comes from now on.
  void set_limits(const AdmissionLimits& limits);

 private:
  void leave(const std::string& client, const Cost& cost, bool done);

  const Clock clock_;
  mutable std::mutex mutex_{};
  AdmissionLimits limits_;  // guarded by mutex_, as what follows
  Cost under_way_{};
  std::map<std::string, Cost> of_client_{};
  // Tokens that were computed, and the time in which something was under way; both are halved at times, so that what is
  // long ago fades.
  double finished_ = 0;
  std::chrono::duration<double> busy_{};
  std::chrono::steady_clock::time_point busy_since_{};  ///< While something is under way; what came before is in busy_.
};

}  // namespace stella::server
