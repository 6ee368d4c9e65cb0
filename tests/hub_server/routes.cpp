#include "state.hpp"

#include <algorithm>
#include <charconv>

namespace stella::test {
namespace {

std::vector<std::string> split_path(const std::string& encoded) {
  std::vector<std::string> parts;
  for (std::size_t start = 1; start <= encoded.size();) {
    const auto slash = std::min(encoded.find('/', start), encoded.size());
    parts.push_back(encoded.substr(start, slash - start));
    start = slash + 1;
  }
  return parts;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  out += text;
  out += '"';
  return out;
}

bool is_commit(const std::string& text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string join_decoded(const std::vector<std::string>& parts, std::size_t from) {
  std::string joined;
  for (std::size_t i = from; i < parts.size(); ++i) {
    joined += i == from ? "" : "/";
    joined += percent_decode(parts[i]);
  }
  return joined;
}

void fail(Answer& answer, int status, const std::string& code, const std::string& message) {
  answer.status = status;
  answer.blob = nullptr;
  if (!code.empty()) {
    answer.headers.set("X-Error-Code", code);
  }
  answer.headers.set("X-Error-Message", message);
  answer.headers.set("Content-Type", "text/plain; charset=utf-8");
  answer.body = message;
}

/// The repository, where the request may see it; else the answer says why not.
Repo* authorized_repo(State& state, const RequestHead& request, const std::string& name, Answer& answer) {
  const auto found = state.repos.find(name);
  const std::string_view authorization = request.header("authorization");
  const bool right_token =
      found != state.repos.end() && !found->second.token.empty() && authorization == "Bearer " + found->second.token;
  if (found == state.repos.end() || (found->second.is_private && !right_token)) {
    if (!authorization.empty() && found == state.repos.end()) {
      fail(answer, 404, "RepoNotFound", "Repository not found");
    } else {
      fail(answer, 401, "RepoNotFound", "Invalid username or password.");
    }
    return nullptr;
  }
  if (found->second.gated && !right_token) {
    fail(answer, authorization.empty() ? 401 : 403, "GatedRepo",
         "Access to model " + name + " is restricted. You must be authenticated to access it.");
    return nullptr;
  }
  return &found->second;
}

RevisionPtr authorized_revision(State& state, const RequestHead& request, const std::string& repo,
                                const std::string& revision, Answer& answer) {
  const Repo* found = authorized_repo(state, request, repo, answer);
  if (found == nullptr) {
    return nullptr;
  }
  RevisionPtr resolved = found->find(revision);
  if (!resolved) {
    fail(answer, 404, "RevisionNotFound", "Invalid rev id: " + revision);
  }
  return resolved;
}

std::string sign(const State& state, const std::string& path, const std::string& query) {
  return sha256_hex(state.secret + '\n' + path + '\n' + query).substr(0, 32);
}

std::int64_t now_ms() {
  using std::chrono::duration_cast;
  return duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string signed_url(const State& state, const std::string& repo, const std::string& file, const Blob& blob) {
  const std::string path = "/repos/" + blob.sha256;
  const std::int64_t lifetime = state.options.url_lifetime.count();
  const std::string query = "File=" + percent_encode(repo + "/" + file) +
                            "&Expires=" + std::to_string(lifetime == 0 ? 0 : now_ms() + lifetime) +
                            "&Generation=" + std::to_string(state.url_generation);
  return state.endpoint(Port::cdn) + path + "?" + query + "&Signature=" + sign(state, path, query);
}

/// GET or HEAD /{repo}/resolve/{revision}/{file}.
void resolve(State& state, const RequestHead& request, const std::string& repo, const std::string& revision,
             const std::string& file, Answer& answer) {
  answer.path = repo + "/" + file;
  const RevisionPtr found = authorized_revision(state, request, repo, revision, answer);
  if (!found) {
    return;
  }
  answer.headers.set("X-Repo-Commit", found->commit);
  const auto entry = found->files.find(file);
  if (entry == found->files.end()) {
    fail(answer, 404, "EntryNotFound", "Entry not found");
    return;
  }
  const Blob& blob = *entry->second;
  answer.headers.set("Accept-Ranges", "bytes");
  answer.headers.set("X-Linked-Size", std::to_string(blob.size));
  answer.headers.set("X-Linked-ETag", quoted(blob.etag()));
  answer.headers.set("Vary", "Origin, Accept");
  std::string location;
  if (blob.large) {
    answer.status = 302;
    location = signed_url(state, repo, file, blob);
    answer.headers.set("ETag", "W/\"" + git_sha1_hex(location) + '"');
    if (state.options.xet_headers) {
      answer.headers.set("X-Xet-Hash", sha256_hex("xet" + blob.sha256));
      answer.headers.set("Link", std::string("<") + state.endpoint(Port::hub) + "/api/models/" + repo +
                                     "/xet-read-token/" + found->commit + ">; rel=\"xet-auth\"");
    }
  } else {
    answer.status = 307;
    location = std::string("/api/resolve-cache/models/") + repo + "/" + found->commit + "/" + percent_encode(file) +
               "?" + percent_encode(std::string("/") + repo + "/resolve/" + revision + "/" + file) + "=&etag=%22" +
               blob.git_sha1 + "%22";
  }
  answer.headers.set("Location", location);
  answer.headers.set("Content-Type", "text/plain; charset=utf-8");
  answer.body = "Redirecting to " + location;
}

/// GET or HEAD /api/resolve-cache/models/{repo}/{commit}/{file}?…; without the query that the redirect named: 404.
void resolve_cache(State& state, const RequestHead& request, const std::vector<std::string>& parts, Answer& answer) {
  const auto commit = std::find_if(parts.begin() + 3, parts.end(), is_commit);
  if (commit == parts.end()) {
    return fail(answer, 404, "", "Not found");
  }
  const auto index = static_cast<std::size_t>(commit - parts.begin());
  const std::string repo = join_decoded({parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(index)}, 3);
  const std::string file = join_decoded(parts, index + 1);
  answer.path = repo + "/" + file;
  const RevisionPtr found = authorized_revision(state, request, repo, *commit, answer);
  if (!found) {
    return;
  }
  const auto entry = found->files.find(file);
  if (entry == found->files.end() || query_value(request.query(), "etag") != quoted(entry->second->git_sha1)) {
    return fail(answer, 404, "EntryNotFound", "Entry not found");
  }
  answer.headers.set("X-Repo-Commit", found->commit);
  answer.headers.set("ETag", quoted(entry->second->git_sha1));
  answer.headers.set("Accept-Ranges", "bytes");
  answer.headers.set("Content-Type", "text/plain; charset=utf-8");
  answer.blob = entry->second;
}

std::size_t number(const std::string& text, std::size_t otherwise) {
  std::size_t value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// GET /api/models/{repo}[/revision/{rev}] and /api/models/{repo}/tree/{rev}.
void api_models(State& state, const RequestHead& request, const std::vector<std::string>& parts, Answer& answer) {
  auto verb = std::find_if(parts.begin() + 2, parts.end(),
                           [](const std::string& part) { return part == "tree" || part == "revision"; });
  const auto index = static_cast<std::size_t>(verb - parts.begin());
  const std::string repo = join_decoded({parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(index)}, 2);
  const std::string revision = index + 1 < parts.size() ? percent_decode(parts[index + 1]) : "main";
  const RevisionPtr found = authorized_revision(state, request, repo, revision, answer);
  if (!found) {
    return;
  }
  answer.headers.set("Content-Type", "application/json; charset=utf-8");
  if (verb == parts.end() || *verb == "revision") {
    answer.body = revision_json(repo, state.repos.at(repo), *found);
    return;
  }
  const std::string query = request.query();
  const std::string flag = query_value(query, "recursive");
  const bool recursive = flag == "true" || flag == "True" || flag == "1";
  const std::size_t from = number(query_value(query, "cursor"), 0);
  const std::size_t count =
      std::min(number(query_value(query, "limit"), state.options.page_size), state.options.page_size);
  const TreePage page = tree_json(*found, recursive, from, count);
  answer.body = page.json;
  if (from + count < page.entries) {
    answer.headers.set("Link", std::string("<") + state.endpoint(Port::hub) + request.path() +
                                   "?recursive=" + (recursive ? "true" : "false") +
                                   "&cursor=" + std::to_string(from + count) + ">; rel=\"next\"");
  }
}

}  // namespace

Answer answer_hub(State& state, const RequestHead& request) {
  const std::lock_guard lock(state.mutex);
  Answer answer;
  answer.path = percent_decode(request.path());
  answer.headers.set("X-Request-Id", "Root=1-" + std::to_string(state.log.size()));
  const std::vector<std::string> parts = split_path(request.path());
  if (request.method != "GET" && request.method != "HEAD") {
    fail(answer, 405, "", "Method not allowed");
  } else if (parts.size() > 2 && parts[0] == "api" && parts[1] == "models") {
    api_models(state, request, parts, answer);
  } else if (parts.size() > 4 && parts[0] == "api" && parts[1] == "resolve-cache") {
    resolve_cache(state, request, parts, answer);
  } else if (parts.size() > 3 && parts[1] == "resolve") {
    resolve(state, request, percent_decode(parts[0]), percent_decode(parts[2]), join_decoded(parts, 3), answer);
  } else if (parts.size() > 4 && parts[2] == "resolve") {
    resolve(state, request, percent_decode(parts[0]) + "/" + percent_decode(parts[1]), percent_decode(parts[3]),
            join_decoded(parts, 4), answer);
  } else {
    fail(answer, 404, "", "Not found");
  }
  return answer;
}

Answer answer_cdn(State& state, const RequestHead& request) {
  const std::lock_guard lock(state.mutex);
  Answer answer;
  const std::string query = request.query();
  answer.path = query_value(query, "File");
  answer.headers.set("X-Amz-Cf-Id", "cdn-" + std::to_string(state.log.size()));
  const auto signature = query.find("&Signature=");
  if (signature == std::string::npos ||
      query.substr(signature + 11) != sign(state, request.path(), query.substr(0, signature))) {
    fail(answer, 403, "", "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    return answer;
  }
  if (!request.header("authorization").empty()) {
    fail(answer, 400, "",
         "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>");
    return answer;
  }
  const auto expires = static_cast<std::int64_t>(number(query_value(query, "Expires"), 0));
  if (number(query_value(query, "Generation"), 0) != state.url_generation || (expires != 0 && expires < now_ms())) {
    fail(answer, 403, "", "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>");
    return answer;
  }
  const auto blob = state.blobs.find(request.path().substr(std::string_view("/repos/").size()));
  if (blob == state.blobs.end()) {
    fail(answer, 404, "", "<Error><Code>NoSuchKey</Code></Error>");
    return answer;
  }
  answer.blob = blob->second;
  answer.headers.set("ETag", quoted(sha256_hex("cdn" + blob->second->sha256)));
  answer.headers.set("Accept-Ranges", "bytes");
  answer.headers.set("Content-Type", "application/octet-stream");
  return answer;
}

}  // namespace stella::test
