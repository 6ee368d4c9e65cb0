#include "support.hpp"

#include "api/runtime_impl.hpp"

namespace stella::test {

namespace fs = std::filesystem;

TestHub::TestHub(const fs::path& directory, std::string repo_arg) : repo(std::move(repo_arg)) {
  server.add_revision(repo, "main", directory);
}

ModelOptions TestHub::options(std::shared_ptr<Runtime> runtime) const {
  HubOptions hub;
  hub.endpoint = server.endpoint();
  hub.home = cache.path();
  hub.cache_dir = cache.path() / "hub";
  return {.hub = hub, .runtime = std::move(runtime)};
}

void run_on_compute_thread(Runtime::Impl& runtime, UniqueFunction<void()> job) {
  engine::Resolved model;
  model.tokenizer =
      std::make_shared<const tokenizer::Tokenizer>(tokenizer::Tokenizer::from_file(kDemo / "tokenizer.json"));
  model.max_length = 512;
  runtime.compute->tokenize(
      {.texts = {"text"}}, std::move(model), {},
      [job = std::move(job)](const std::exception_ptr&, const std::vector<Tokens>&) mutable { job(); });
}

std::string describe(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.code().message() + ": " + e.what();
  } catch (const std::exception& e) {
    return std::string("not an error of ours: ") + e.what();
  }
  return "no error";
}

std::optional<Errc> errc_of(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.errc();
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace stella::test
