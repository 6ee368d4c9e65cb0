#include "hub/download/request.hpp"

#include "base/repo_names.hpp"
#include "hub/cache/paths.hpp"
#include "hub/http/proxy.hpp"
#include "hub/http/url.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <utility>

namespace stella::hub {
namespace {

bool is_header_text(const std::string& text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

FileRequest checked(FileRequest request, bool with_file) {
  check_repo(request.repo);
  check_revision(request.revision);
  if (with_file) check_file(request.file);
  if (!request.options) throw Error(Errc::invalid_argument, "a hub request needs options");
  const HubOptions& options = *request.options;
  if (options.cache_dir.empty()) {
    throw Error(Errc::invalid_argument, options.problem.empty() ? "HubOptions::cache_dir is empty" : options.problem);
  }
  if (!origin_of(options.endpoint)) {
    throw Error(Errc::invalid_argument, "HubOptions::endpoint is not an address such as https://huggingface.co");
  }
  if (!is_header_text(options.token) || !is_header_text(options.user_agent)) {
    throw Error(Errc::invalid_argument, "HubOptions::token and user_agent must be one line");
  }
  for (const std::string& proxy : {options.http_proxy, options.https_proxy}) {
    if (!proxy.empty() && !is_proxy(proxy)) {
      throw Error(Errc::invalid_argument,
                  "HubOptions::http_proxy or https_proxy is no address such as http://host:3128");
    }
  }
  if (options.endpoint.ends_with('/')) {
    auto trimmed = std::make_shared<HubOptions>(options);
    while (trimmed->endpoint.ends_with('/')) trimmed->endpoint.pop_back();
    request.options = std::move(trimmed);
  }
  return request;
}

void check_reachable(const HubOptions& options) {
  if (!options.problem.empty()) throw Error(Errc::invalid_argument, "the hub cannot be asked: " + options.problem);
}

std::string describe(const FileRequest& request) {
  const std::string at = request.revision == "main" ? "" : " at " + request.revision;
  return (request.file.empty() ? "" : request.file + " of ") + request.repo + at;
}

}  // namespace stella::hub
