#include "api/runtime_impl.hpp"
#include "api/wait_for.hpp"
#include "hub/cache_scan.hpp"
#include "stella/cache.hpp"
#include "stella/error.hpp"

#include <memory>
#include <utility>

namespace stella::cache {

Report verify(const HubOptions& hub, const std::string& repo, bool repair, const ProgressCallback& on_progress,
              const std::stop_token& stop) {
  Report report = hub::check_cache(hub.cache_dir, repo, repair, on_progress, stop);
  if (!repair || report.problems.empty()) return report;
  const std::shared_ptr<Runtime> runtime = Runtime::shared();
  const auto options = std::make_shared<const HubOptions>(hub);
  for (Problem& problem : report.problems) {
    if (!problem.failure.empty()) continue;
    for (const Problem::User& user : problem.users) {
      try {
        api::wait_for<std::filesystem::path>([&](auto done) {
          runtime->impl().hub->get_file({problem.repo, user.commit, user.file, options}, stop, on_progress,
                                        std::move(done));
        });
      } catch (const Error& error) {
        if (error.errc() == Errc::cancelled) throw;
        problem.failure = error.what();
      }
    }
    problem.repaired = problem.failure.empty();
  }
  return report;
}

}  // namespace stella::cache
