#include "api/runtime_impl.hpp"
#include "hub/cache/verify.hpp"
#include "stella/cache.hpp"
#include "stella/error.hpp"
#include "stella/packed_weights.hpp"
#include "stella/sync.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace stella::cache {
namespace {

/// Packed weights of a damaged blob are as wrong as it is, and their name is that of the blob that will be fetched.
/// Where they cannot be removed the blob is fetched all the same, and then that is what is left to repair.
std::string remove_what_was_made_from(const Report& report, const HubOptions& hub) {
  std::vector<std::string> damaged;
  for (const Problem& problem : report.problems) {
    if (problem.kind == Problem::Kind::damaged) damaged.push_back(problem.blob);
  }
  try {
    packed_weights::remove_made_from(packed_weights::default_directory(hub), damaged);
    return {};
  } catch (const Error& error) {
    return std::string("packed weights that were made from it stay: ") + error.what();
  }
}

}  // namespace

Report verify(const HubOptions& hub, const std::string& repo, bool repair, const ProgressCallback& on_progress,
              const std::stop_token& stop) {
  Report report = hub::check_cache(hub.cache_dir, repo, repair, on_progress, stop);
  if (!repair || report.problems.empty()) return report;
  const std::string packed_failure = remove_what_was_made_from(report, hub);
  const std::shared_ptr<Runtime> runtime = Runtime::shared();
  const auto options = std::make_shared<const HubOptions>(hub);
  for (Problem& problem : report.problems) {
    if (!problem.failure.empty()) continue;
    for (const Problem::User& user : problem.users) {
      try {
        sync::wait_for<std::filesystem::path>([&](auto done) {
          runtime->impl().hub->get_file({problem.repo, user.commit, user.file, options}, stop, on_progress,
                                        std::move(done.function));
        });
      } catch (const Error& error) {
        if (error.errc() == Errc::cancelled) throw;
        problem.failure = error.what();
      }
    }
    if (problem.failure.empty() && problem.kind == Problem::Kind::damaged) problem.failure = packed_failure;
    problem.repaired = problem.failure.empty();
  }
  return report;
}

}  // namespace stella::cache
