#include "server/routes/fingerprint.hpp"

#include "base/file.hpp"
#include "base/repo_names.hpp"
#include "base/sha.hpp"
#include "stella/options.hpp"

#include <algorithm>
#include <cerrno>
#include <span>
#include <sys/stat.h>
#include <vector>

namespace stella::server {
namespace {

constexpr std::size_t kHashDigits = 16;
constexpr std::size_t kCommitDigits = 12;

bool is_plain(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

std::string hash_of(const std::string& text) {
  return "sha256:" + sha256_hex(text).substr(0, kHashDigits);
}

void add_samples(Sha256& hash, const std::filesystem::path& directory, const std::string& name) {
  constexpr std::size_t kSamples = 16;
  constexpr std::size_t kBytes = 4096;
  const std::filesystem::path path = directory / name;
  const UniqueFd file = open_regular(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error("read", path, errno);
  const auto size = static_cast<std::size_t>(status.st_size);
  const auto add = [&hash](const std::string& text) { hash.update(std::as_bytes(std::span(text))); };
  add(name + "\n" + std::to_string(size) + "\n");
  std::vector<std::byte> sample(kBytes);
  const std::size_t last = size < kBytes ? 0 : size - kBytes;
  for (std::size_t i = 0; i < kSamples; ++i) {
    const ssize_t got =
        ::pread(file.get(), sample.data(), sample.size(), static_cast<off_t>(last * i / (kSamples - 1)));
    if (got < 0) throw io_error("read", path, errno);
    hash.update(std::span(sample).first(static_cast<std::size_t>(got)));
    if (last == 0) break;
  }
}

/// The task that has this prompt, "none" for none.
std::string prompt_name(const ModelFacts& facts, const std::string& prompt) {
  if (prompt.empty()) return "none";
  const auto& prompts = facts.description.prompts;
  for (const char* task : {"s2p", "s2s"}) {  // Stella's own names before others that mean the same
    const auto found = prompts.find(task);
    if (found != prompts.end() && found->second == prompt) return task;
  }
  for (const auto& [task, text] : prompts) {
    if (text == prompt && is_plain(task)) return task;
  }
  return hash_of(prompt);
}

}  // namespace

std::string weights_of(const std::string& id, const std::string& commit, const std::filesystem::path& directory) {
  if (is_commit(commit) && is_repo_id(id)) return id + "@" + commit.substr(0, kCommitDigits);
  Sha256 hash;
  for (const std::string& name : names_below(directory)) {
    if (name.ends_with(".json") || name.ends_with(".safetensors")) add_samples(hash, directory, name);
  }
  return "sha256:" + to_hex(hash.digest()).substr(0, kHashDigits);
}

std::string fingerprint_of(const ModelFacts& facts, const EmbedOptions& options) {
  std::string dimensions;
  for (const std::size_t dimension : options.dimensions)
    dimensions += (dimensions.empty() ? "" : ",") + std::to_string(dimension);
  if (options.token_states) dimensions = "tokens";
  if (dimensions.empty()) dimensions = std::to_string(facts.description.default_dimension);
  const bool unit = options.normalize && !options.token_states;
  return "weights=" + facts.weights + "; dimension=" + dimensions +
         "; precision=" + to_string(facts.description.precision.value_or(Precision::f32)) +
         "; prompt=" + prompt_name(facts, options.prompt.value_or("")) + "; normalized=" + (unit ? "true" : "false");
}

std::string default_fingerprint(const ModelFacts& facts) {
  EmbedOptions options;
  choose_prompt(facts, std::nullopt, options);
  return fingerprint_of(facts, options);
}

}  // namespace stella::server
