// hub_get: downloads files of a repository with stella::hub::Client, as the environment says (HF_ENDPOINT,
// HF_HUB_CACHE, …), and prints their paths, one a line, in the order asked for. For tests that need the client in a
// process of its own.
#include "base/thread_pool.hpp"
#include "hub/client.hpp"
#include "stella/error.hpp"

#include <cstdio>
#include <exception>
#include <future>
#include <iostream>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace {

using Path = std::filesystem::path;

std::future<Path> start(stella::hub::Client& client, stella::hub::FileRequest request) {
  auto promise = std::make_shared<std::promise<Path>>();
  client.get_file(std::move(request), {}, {}, [promise](std::exception_ptr error, Path path) {
    if (error) {
      promise->set_exception(error);
    } else {
      promise->set_value(std::move(path));
    }
  });
  return promise->get_future();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: hub_get REPO REVISION FILE...\n";
    return 2;
  }
  try {
    const auto options = std::make_shared<stella::HubOptions>(stella::HubOptions::from_environment());
    stella::ThreadPool pool(3, "files");
    stella::hub::Client client(pool);
    std::vector<std::future<Path>> pending;
    for (int i = 3; i < argc; ++i) {
      pending.push_back(start(client, {argv[1], argv[2], argv[i], options}));
    }
    for (auto& one : pending) {
      std::cout << one.get().string() << std::endl;
    }
  } catch (const stella::Error& error) {
    std::cerr << error.code().message() << " | " << error.what() << " | " << error.context().cause << '\n';
    return 3;
  } catch (const std::exception& error) {
    std::cerr << "hub_get: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
