#include "stella/sync.hpp"

#include "api/hub_files.hpp"
#include "api/runtime_impl.hpp"
#include "base/thread.hpp"

#include <utility>

namespace stella::sync {

void check_may_block() {
  if (this_thread_kind() != ThreadKind::working) return;
  throw Error(Errc::invalid_argument, "a blocking call from a callback on a Runtime's thread would wait for itself");
}

std::filesystem::path huggingface_file(const std::string& registry_key, const std::string& file,
                                       const std::string& revision, std::optional<HubOptions> hub) {
  if (!hub) hub = HubOptions::from_environment();
  const std::shared_ptr<Runtime> runtime = Runtime::shared();
  const auto files = api::hub_files(runtime->impl().hub,
                                    {registry_key, revision, std::make_shared<const HubOptions>(*std::move(hub)), {}});
  return wait_for<std::filesystem::path>([&](auto done) { files->get(file, {}, std::move(done.function)); });
}

}  // namespace stella::sync
