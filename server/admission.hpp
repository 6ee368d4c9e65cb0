// How much may be under way at once, counted in texts: single ones and batches alike.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace stella::server {

/// Seconds until `texts` are done at `rate` texts a second, 1 to 60; spread by `jitter` (0 to 1) from three quarters to
/// five quarters of that, so that those who were refused together do not come back together.
unsigned retry_after(std::size_t texts, double rate, double jitter);

/// Thread-safe.
class Admission {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  explicit Admission(std::size_t limit, Clock clock = std::chrono::steady_clock::now);

  /// Gives its texts back at its end.
  class Permit {
   public:
    Permit() = default;
    Permit(Admission* admission, std::size_t texts) : admission_(admission), texts_(texts) {}
    Permit(Permit&& other) noexcept : admission_(std::exchange(other.admission_, nullptr)), texts_(other.texts_) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (admission_ != nullptr) admission_->leave(texts_);
    }

   private:
    Admission* admission_ = nullptr;
    std::size_t texts_ = 0;
  };

  /// Nothing where it would be more than the limit.
  std::optional<Permit> enter(std::size_t texts);
  std::size_t under_way() const;
  /// For whoever was refused.
  unsigned seconds_to_wait(double jitter) const;

 private:
  void leave(std::size_t texts);

  const std::size_t limit_;
  const Clock clock_;
  mutable std::mutex mutex_{};
  std::size_t under_way_ = 0;  // guarded by mutex_, as what follows
  double finished_ = 0;        ///< Texts since `since_`; both are halved at times, so that what is long ago fades.
  std::chrono::steady_clock::time_point since_;
};

}  // namespace stella::server
