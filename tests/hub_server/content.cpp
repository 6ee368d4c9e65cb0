#include "content.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <stdexcept>

#include <openssl/evp.h>

namespace stella::test {
namespace {

class Hash {
 public:
  explicit Hash(const EVP_MD* kind) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), kind, nullptr) != 1) {
      throw std::runtime_error("hub server: OpenSSL has no such hash");
    }
  }
  void update(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      text += kDigits[digest[i] >> 4];
      text += kDigits[digest[i] & 15];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string git_header(std::uint64_t size) {
  return "blob " + std::to_string(size) + std::string(1, '\0');
}

void finish(Blob& blob) {
  if (blob.large) {
    blob.git_sha1 = git_sha1_hex("version https://git-lfs.github.com/spec/v1\noid sha256:" + blob.sha256 + "\nsize " +
                                 std::to_string(blob.size) + "\n");
  }
}

std::string json_quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      static constexpr char kDigits[] = "0123456789abcdef";
      quoted += "\\u00";
      quoted += kDigits[static_cast<unsigned char>(c) >> 4];
      quoted += kDigits[c & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Hash hash(EVP_sha256());
  hash.update(bytes);
  return hash.hex();
}

std::string git_sha1_hex(std::string_view bytes) {
  Hash hash(EVP_sha1());
  hash.update(git_header(bytes.size()));
  hash.update(bytes);
  return hash.hex();
}

BlobPtr make_blob(std::string bytes, bool large) {
  auto blob = std::make_shared<Blob>();
  blob->bytes = std::move(bytes);
  blob->size = blob->bytes.size();
  blob->large = large;
  (large ? blob->sha256 : blob->git_sha1) = large ? sha256_hex(blob->bytes) : git_sha1_hex(blob->bytes);
  finish(*blob);
  return blob;
}

BlobPtr make_blob(const std::filesystem::path& path, bool large) {
  auto blob = std::make_shared<Blob>();
  blob->path = std::filesystem::canonical(path);
  blob->size = std::filesystem::file_size(path);
  blob->large = large;
  Hash hash(large ? EVP_sha256() : EVP_sha1());
  if (!large) {
    hash.update(git_header(blob->size));
  }
  std::ifstream in(path, std::ios::binary);
  std::vector<char> buffer(1 << 20);
  while (in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash.update({buffer.data(), static_cast<std::size_t>(in.gcount())});
  }
  (large ? blob->sha256 : blob->git_sha1) = hash.hex();
  finish(*blob);
  return blob;
}

RevisionPtr Repo::find(const std::string& revision) const {
  if (const auto named = by_name.find(revision); named != by_name.end()) {
    return named->second;
  }
  const auto pinned = by_commit.find(revision);
  return pinned == by_commit.end() ? nullptr : pinned->second;
}

RevisionPtr make_revision(std::map<std::string, BlobPtr> files, std::string commit) {
  auto revision = std::make_shared<Revision>();
  if (commit.empty()) {
    std::string listing;
    for (const auto& [path, blob] : files) {
      listing += path + ' ' + blob->etag() + '\n';
    }
    commit = git_sha1_hex(listing);
  }
  revision->files = std::move(files);
  revision->commit = std::move(commit);
  return revision;
}

std::vector<std::string> files_below(const std::filesystem::path& directory) {
  std::vector<std::string> paths;
  using Walk = std::filesystem::recursive_directory_iterator;
  for (const auto& entry : Walk(directory, std::filesystem::directory_options::follow_directory_symlink)) {
    if (entry.is_regular_file()) {
      paths.push_back(entry.path().lexically_relative(directory).generic_string());
    }
  }
  return paths;
}

TreePage tree_json(const Revision& revision, bool recursive, std::size_t from, std::size_t count) {
  std::map<std::string, std::string> entries;  // path → JSON object; directories once each
  for (const auto& [path, blob] : revision.files) {
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const std::string folder = path.substr(0, slash);
      if (recursive || folder.find('/') == std::string::npos) {
        entries.emplace(folder, "{\"type\":\"directory\",\"oid\":\"" + git_sha1_hex(folder) +
                                    "\",\"size\":0,\"path\":" + json_quote(folder) + "}");
      }
    }
    if (!recursive && path.find('/') != std::string::npos) {
      continue;
    }
    std::string json = R"({"type":"file","oid":")" + blob->git_sha1 + R"(","size":)" + std::to_string(blob->size);
    if (blob->large) {
      json +=
          R"(,"lfs":{"oid":")" + blob->sha256 + R"(","size":)" + std::to_string(blob->size) + R"(,"pointerSize":134})";
    }
    entries.emplace(path, json + ",\"path\":" + json_quote(path) + "}");
  }
  TreePage page;
  page.entries = entries.size();
  page.json = "[";
  std::size_t index = 0;
  for (const auto& [path, json] : entries) {
    if (index >= from && index - from < count) {
      page.json += (page.json.size() > 1 ? "," : "") + json;
    }
    ++index;
  }
  page.json += "]";
  return page;
}

std::string revision_json(const std::string& repo, const Repo& state, const Revision& revision) {
  std::string json = "{\"_id\":\"" + revision.commit.substr(0, 24) + "\",\"id\":" + json_quote(repo) +
                     ",\"modelId\":" + json_quote(repo) + ",\"sha\":" + json_quote(revision.commit) +
                     ",\"private\":" + (state.is_private ? "true" : "false") +
                     ",\"gated\":" + (state.gated ? "\"manual\"" : "false") +
                     ",\"disabled\":false,\"downloads\":0,\"likes\":0,\"tags\":[],\"siblings\":[";
  bool first = true;
  for (const auto& [path, blob] : revision.files) {
    json += (first ? "{\"rfilename\":" : ",{\"rfilename\":") + json_quote(path) + "}";
    first = false;
  }
  return json + "]}";
}

}  // namespace stella::test
