// The program's own operator new: where the system has no memory, small pieces come out of a reserve.
//
// A request that there is no memory for has to be ended, and that takes a little of it. Asio destroys a coroutine by
// posting that to its executor, from a destructor: std::bad_alloc there, as in any other destructor, callback of a stop
// or noexcept function of whatever library, would end the program. What is large is refused as ever.
#include "cli/memory_reserve.hpp"

#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::array<stella::cli::MemoryReserve::Block, 4096> blocks;
constinit stella::cli::MemoryReserve reserve(blocks);

}  // namespace

// The C++ library's other forms call these.

void* operator new(std::size_t bytes) {
  while (true) {
    if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
    if (void* const memory = reserve.take(bytes)) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

void operator delete(void* memory) noexcept {
  if (reserve.owns(memory)) return reserve.give(memory);
  std::free(memory);
}

void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  ::operator delete(memory);
}
