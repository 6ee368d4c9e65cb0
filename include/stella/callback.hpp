// What operations call when they are over.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace stella {

class ThreadPool;

template <class Signature>
class UniqueFunction;

/// Owns any callable, copyable or not. Calling an empty one throws std::bad_function_call.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;

  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> && std::is_invocable_r_v<R, F&, Args...>)
      UniqueFunction(F&& callable)  // NOLINT(google-explicit-constructor): as std::function
      : target_(std::make_unique<Model<std::remove_cvref_t<F>>>(std::forward<F>(callable))) {}

  R operator()(Args... args) {
    if (!target_) throw std::bad_function_call();
    return target_->call(std::forward<Args>(args)...);
  }

  explicit operator bool() const noexcept { return target_ != nullptr; }

 private:
  struct Concept {
    virtual ~Concept() = default;
    virtual R call(Args... args) = 0;
  };
  template <class F>
  struct Model final : Concept {
    template <class G>
    explicit Model(G&& callable) : callable_(std::forward<G>(callable)) {}
    R call(Args... args) override { return std::invoke(callable_, std::forward<Args>(args)...); }
    F callable_;
  };
  std::unique_ptr<Concept> target_;
};

/// What a completion that is dropped uncalled completes with: the exception that is being handled; Error(out_of_memory)
/// while another one is on its way, for nothing but a failed allocation loses a completion; Error(shut_down) where
/// nobody is left to call it.
std::exception_ptr drop_reason() noexcept;

/// Called exactly once, with an exception or a value (default-constructed beside an exception): a completion that is
/// destroyed uncalled, because what held it could not be queued, completes with drop_reason(), and a second call does
/// nothing. The thread is the operation's own; a completion must not block.
template <class T>
class Completion {
 public:
  Completion() = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Completion> && std::is_invocable_v<F&, std::exception_ptr, T>)
      Completion(F&& callable)  // NOLINT(google-explicit-constructor): as std::function
      : function_(std::forward<F>(callable)) {}
  Completion(Completion&&) noexcept = default;
  Completion& operator=(Completion&& other) noexcept {
    Completion replaced(std::move(other));
    std::swap(function_, replaced.function_);
    return *this;
  }
  ~Completion() {
    if (!function_) return;
    try {
      (*this)(drop_reason(), T{});
    } catch (...) {  // NOLINT(bugprone-empty-catch): what it held has been dropped in turn, and so completed
    }
  }

  void operator()(std::exception_ptr error, T value) {
    auto function = std::move(function_);
    if (function) function(std::move(error), std::move(value));
  }

  explicit operator bool() const noexcept { return static_cast<bool>(function_); }

 private:
  UniqueFunction<void(std::exception_ptr, T)> function_;
};

/// Marks a callback that may run on any thread; on_any_thread() makes it.
template <class F>
struct AnyThread {
  F function;
};

/// The callback runs where the result comes about: on a thread of the Runtime that computes, loads or downloads, on the
/// one that requests the stop, or inside the call that starts the operation. It must be short and must not block: it
/// wakes somebody or hands the result on.
template <class F>
AnyThread<std::decay_t<F>> on_any_thread(F&& function) {
  return {std::forward<F>(function)};
}

/// A callback f(std::exception_ptr error, T value) of an operation of Model, called exactly once; `value` is
/// default-constructed beside an error.
///
/// It runs on a thread that the Runtime keeps for callbacks alone: never inside the call that starts the operation or
/// that requests its stop. It may block, start further operations and drop the last owner of a model or of the Runtime.
/// What it throws is reported to the log. on_any_thread() saves the change of threads.
template <class T>
class Callback {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Callback> && std::is_invocable_v<F&, std::exception_ptr, T>)
      Callback(F&& callable)  // NOLINT(google-explicit-constructor): as std::function
      : completion_(std::forward<F>(callable)) {}
  template <class F>
  requires std::is_invocable_v<F&, std::exception_ptr, T> Callback(
      AnyThread<F> marked)  // NOLINT(google-explicit-constructor): as std::function
      : completion_(std::move(marked.function)), any_thread_(true) {}

  bool runs_on_any_thread() const noexcept { return any_thread_; }
  Completion<T> take() && { return std::move(completion_); }

  /// A callback for another value, of which make(value) makes this one's, on the same thread; what it throws is the
  /// error.
  template <class Other, class Make>
  Callback<Other> from(Make make) && {
    Completion<Other> completion = [done = std::move(completion_), make = std::move(make)](std::exception_ptr error,
                                                                                           Other value) mutable {
      T made{};
      try {
        if (!error) made = make(std::move(value));
      } catch (...) {
        error = std::current_exception();
      }
      done(std::move(error), std::move(made));
    };
    return Callback<Other>(std::move(completion), any_thread_);
  }

 private:
  template <class>
  friend class Callback;
  Callback(Completion<T> completion, bool any_thread) : completion_(std::move(completion)), any_thread_(any_thread) {}

  Completion<T> completion_;
  bool any_thread_ = false;
};

/// Requests stops on a thread of a Runtime, for callers in which nothing that a stop completes may run. Does nothing
/// once the Runtime has gone: all has been completed then. Thread-safe.
class Stopper {
 public:
  Stopper() = default;
  explicit Stopper(std::weak_ptr<ThreadPool> pool) noexcept : pool_(std::move(pool)) {}
  void request_stop(std::stop_source source) const;

 private:
  std::weak_ptr<ThreadPool> pool_;
};

}  // namespace stella
