// For LD_PRELOAD: a machine that fails. STELLA_FAULT is "KIND:N", the Nth call of that kind fails, or "KIND:N+", it and
// all later ones, or "KIND:N+M", it and M later ones: malloc (of at least STELLA_FAULT_BYTES, by default 64 KiB),
// thread, open, mmap and lock (flock); the last three take an error number, "open:N:ERRNO". Calls are counted from the
// start of the process, or with STELLA_FAULT_STEP=S from each SIGUSR1 on, by which N grows by S from the second on.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>

#include <climits>

// The C library's own names for what is replaced here.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

enum class Kind { none, allocation, thread, open, map, lock };

struct Plan {
  Kind kind = Kind::none;
  long more = 0;  // calls that fail behind the first
  int error = EIO;
  std::size_t bytes = std::size_t{64} << 10U;
};

Plan plan;                   // constant after the constructor below; nothing fails before it
std::atomic<long> first{0};  // that fails
std::atomic<long> calls{0};
std::atomic<bool> begun{false};

long step = 0;

void begin_again(int /*signal*/) {
  if (begun) first += step;
  calls = 0;
  begun = true;
}

__attribute__((constructor)) void read_plan() {
  if (const char* bytes = std::getenv("STELLA_FAULT_BYTES")) plan.bytes = std::strtoul(bytes, nullptr, 10);
  const char* text = std::getenv("STELLA_FAULT");
  const char* colon = text != nullptr ? std::strchr(text, ':') : nullptr;
  if (colon == nullptr) return;
  char* end = nullptr;
  first = std::strtol(colon + 1, &end, 10);
  if (*end == '+') {
    const char* const count = ++end;
    plan.more = std::strtol(count, &end, 10);
    if (end == count) plan.more = LONG_MAX;
  }
  if (*end == ':') plan.error = static_cast<int>(std::strtol(end + 1, nullptr, 10));
  if (std::strncmp(text, "malloc:", 7) == 0) plan.kind = Kind::allocation;
  if (std::strncmp(text, "thread:", 7) == 0) plan.kind = Kind::thread;
  if (std::strncmp(text, "open:", 5) == 0) plan.kind = Kind::open;
  if (std::strncmp(text, "mmap:", 5) == 0) plan.kind = Kind::map;
  if (std::strncmp(text, "lock:", 5) == 0) plan.kind = Kind::lock;
  begun = std::getenv("STELLA_FAULT_LATER") == nullptr;
  if (const char* text_of_step = std::getenv("STELLA_FAULT_STEP")) {
    begun = false;
    step = std::strtol(text_of_step, nullptr, 10);
    std::signal(SIGUSR1, begin_again);
  }
}

bool fails(Kind kind) {
  if (!begun || kind != plan.kind) return false;
  const long call = ++calls;
  return call >= first && call - first <= plan.more;
}

bool allocation_fails(std::size_t size) {
  if (size < plan.bytes || !fails(Kind::allocation)) return false;
  errno = ENOMEM;
  return true;
}

/// errno and -1.
bool open_fails() {
  if (!fails(Kind::open)) return false;
  errno = plan.error;
  return true;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

mode_t mode_of(int flags, std::va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

void stella_fault_begin() {
  begun = true;
}

void* malloc(std::size_t size) {
  return allocation_fails(size) ? nullptr : __libc_malloc(size);
}

void* calloc(std::size_t count, std::size_t size) {
  return allocation_fails(count * size) ? nullptr : __libc_calloc(count, size);
}

void* realloc(void* old, std::size_t size) {
  return allocation_fails(size) ? nullptr : __libc_realloc(old, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  return allocation_fails(size) ? nullptr : __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return memalign(alignment, size);
}

int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  void* const memory = memalign(alignment, size);
  if (memory == nullptr) return ENOMEM;
  *out = memory;
  return 0;
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  if (fails(Kind::thread)) return EAGAIN;
  static auto* const real = next<decltype(pthread_create)>("pthread_create");
  return real(thread, attributes, start, argument);
}

int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  if (open_fails()) return -1;
  static auto* const real = next<int(const char*, int, ...)>("open");
  return real(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open(path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  if (open_fails()) return -1;
  static auto* const real = next<int(int, const char*, int, ...)>("openat");
  return real(folder, path, flags, mode);
}

int openat64(int folder, const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return openat(folder, path, flags | O_LARGEFILE, mode);
}

int flock(int fd, int operation) {
  if (fails(Kind::lock)) {
    errno = plan.error;
    return -1;
  }
  static auto* const real = next<decltype(flock)>("flock");
  return real(fd, operation);
}

void* mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t offset) {
  if (fails(Kind::map)) {
    errno = plan.error;
    return MAP_FAILED;
  }
  static auto* const real = next<decltype(mmap)>("mmap");
  return real(address, length, protection, flags, fd, offset);
}

void* mmap64(void* address, std::size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap(address, length, protection, flags, fd, offset);
}

}  // extern "C"
