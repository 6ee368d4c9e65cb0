#include "cli/session.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <poll.h>
#include <string_view>
#include <sys/signalfd.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace stella::cli {
namespace {

constexpr int kMomentMilliseconds = 20;
constexpr std::array<int, 3> kSignals{SIGINT, SIGTERM, SIGHUP};
// For what is under way to end by itself once it was interrupted: a pass its layer, a job its disk.
constexpr std::chrono::milliseconds kGrace{1500};

/// Ends the program where it has not ended by then. Files appear whole or not at all, so that nothing is broken by it.
void end_after_grace(int signal_number) {
  try {
    std::thread([signal_number] {
      std::this_thread::sleep_for(kGrace);
      constexpr std::string_view kLine = "stella: interrupted\n";
      static_cast<void>(::write(STDERR_FILENO, kLine.data(), kLine.size()));
      ::_exit(128 + signal_number);
    }).detach();
  } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): then it takes as long as it takes
  }
}

/// Those of kSignals that the caller (nohup, a shell's background job) does not want ignored.
sigset_t wanted_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kSignals) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&set, number);
  }
  return set;
}

}  // namespace

Session::Session() {
  // Errors of write(2) say more than a signal does.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const sigset_t set = wanted_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const int descriptor = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  signal_descriptor_.assign(descriptor);
  watch_signals();
}

Session::~Session() = default;

void Session::watch_signals() {
  signal_descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                [this](const boost::system::error_code& error) {
                                  if (error) return;
                                  on_signal();
                                  watch_signals();
                                });
}

void Session::on_signal() {
  signalfd_siginfo info{};
  if (::read(signal_descriptor_.native_handle(), &info, sizeof info) != sizeof info) return;
  interrupted_by_ = static_cast<int>(info.ssi_signo);
  end_after_grace(interrupted_by_);
  // From now on the system's own way: a second signal ends the program whatever it waits for.
  const sigset_t set = wanted_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  const auto operations = operations_;
  for (const auto& operation : operations) {
    if (!operation->done_) operation->cancel_.emit(boost::asio::cancellation_type::terminal);
  }
}

void Session::run_until(const std::function<bool()>& done) {
  while (!done()) {
    if (io_.stopped()) io_.restart();
    io_.run_one();
  }
  std::erase_if(operations_, [](const auto& operation) { return operation->done_; });
  check();
}

void Session::check() {
  if (io_.stopped()) io_.restart();
  io_.poll();
  if (interrupted_by_ != 0) throw Interrupted(interrupted_by_);
}

void Session::wait_for(int descriptor, short events) {
  while (true) {
    std::array<pollfd, 2> entries{
        {{descriptor, events, 0}, {signal_descriptor_.native_handle(), static_cast<short>(POLLIN), 0}}};
    const int ready = ::poll(entries.data(), entries.size(), descriptor < 0 ? kMomentMilliseconds : -1);
    if (ready < 0 && errno != EINTR) return;
    if (ready > 0 && entries[1].revents != 0) on_signal();
    if (interrupted_by_ != 0) throw Interrupted(interrupted_by_);
    if (descriptor < 0 || (ready > 0 && entries[0].revents != 0)) return;
  }
}

}  // namespace stella::cli
