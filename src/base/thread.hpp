// The library's own threads.
#pragma once

#include "base/unique_function.hpp"

#include <cstdint>
#include <thread>

namespace stella {

/// What a thread is for: `working` ones belong to the library alone, on `handling` ones callers' callbacks run.
enum class ThreadKind : std::uint8_t { callers, handling, working };

/// The kind of the current thread.
ThreadKind this_thread_kind() noexcept;

/// Starts a thread that runs `body`, which must not throw. `name` labels it (the system keeps 15 characters). Throws
/// Error(resource_limit) where the system gives no thread.
std::thread start_thread(const char* name, UniqueFunction<void()> body, ThreadKind kind = ThreadKind::working);

}  // namespace stella
