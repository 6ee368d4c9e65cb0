// A move-only std::function (C++23's std::move_only_function, for g++ 12), and the callback type of every
// asynchronous operation below the public API.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace stella {

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

/// A non-owning reference to a callable that outlives the call.
template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Args...>)
      FunctionRef(F&& callable)  // NOLINT(google-explicit-constructor): as a reference
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Args... args) -> R {
          return std::invoke(*static_cast<std::remove_reference_t<F>*>(object), std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace stella
