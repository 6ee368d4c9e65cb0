#include "base/repo_names.hpp"
#include "base/text.hpp"
#include "hub/cache/file_io.hpp"
#include "hub/cache/place.hpp"
#include "hub/cache/scan.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace stella::hub {
namespace {

constexpr std::size_t kMaxEntries = 100'000;
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 40U;   // of contents
constexpr std::size_t kMaxNameBytes = std::size_t{64} << 20U;  // of all names
constexpr std::size_t kMaxName = 1024;
constexpr std::size_t kMaxPart = 255;
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kCommitDigits = 40;
constexpr std::size_t kMaxShown = 200;

// Reads an archive's headers and the hashes of its contents into bundles; refuses it where anything is not as pack()
// writes it.
class Inspector {
 public:
  Inspector(TarReader& reader, const ProgressCallback& on_progress, const std::stop_token& stop)
      : reader_(reader), on_progress_(on_progress), stop_(stop) {}

  std::vector<Bundle> inspect();

 private:
  void take(const TarEntry& entry);
  void check_name(const TarEntry& entry, const std::string& name);
  void take_link(Bundle& bundle, const TarEntry& entry, const std::string& rest);
  void take_ref(Bundle& bundle, const TarEntry& entry, const std::string& revision);
  void check_whole(const Bundle& bundle) const;
  void check_hashes(const Bundle& bundle) const;
  [[noreturn]] void refuse(const TarEntry& entry, const std::string& why) const;

  TarReader& reader_;
  const ProgressCallback& on_progress_;
  const std::stop_token& stop_;
  std::map<std::string, Bundle> bundles_{};  // by folder
  std::set<std::string> names_{};
  std::size_t name_bytes_ = 0;
  std::uint64_t content_bytes_ = 0;
};

void Inspector::refuse(const TarEntry& entry, const std::string& why) const {
  reader_.refuse("its entry '" + printable_line(entry.name, kMaxShown) + "' " + why);
}

void Inspector::check_name(const TarEntry& entry, const std::string& name) {
  try {
    check_file(name);
  } catch (const Error&) {
    refuse(entry, "leaves the cache");
  }
  if (printable(name) != name || name.find_first_of("\n\t") != std::string::npos) {
    refuse(entry, "has control characters in its name, or is no UTF-8");
  }
  std::size_t deep = 0;
  std::size_t longest = 0;
  for (std::size_t begin = 0; begin <= name.size(); ++deep) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    longest = std::max(longest, end - begin);
    begin = end + 1;
  }
  if (name.size() > kMaxName || longest > kMaxPart || deep > kMaxDepth) refuse(entry, "has too long a name");
  if (!names_.insert(name).second) refuse(entry, "is there twice");
  const auto cap = [&](const std::string& what) {
    throw Error(Errc::limit_exceeded, "refused the archive '" + reader_.path().string() + "': it has more than " +
                                          what + ", the most that is unpacked");
  };
  name_bytes_ += name.size();
  content_bytes_ += entry.size;  // each is held against the archive's size, so the sum cannot overflow
  if (names_.size() > kMaxEntries) cap(std::to_string(kMaxEntries) + " entries");
  if (name_bytes_ > kMaxNameBytes) cap(std::to_string(kMaxNameBytes) + " bytes of names");
  if (content_bytes_ > kMaxBytes) cap(std::to_string(kMaxBytes) + " bytes of contents");
}

void Inspector::take(const TarEntry& entry) {
  std::string name = entry.name;
  if (entry.kind == TarEntry::Kind::folder) {
    while (name.ends_with('/')) name.pop_back();
  }
  check_name(entry, name);
  const std::size_t first = name.find('/');
  const std::size_t second = first == std::string::npos ? first : name.find('/', first + 1);
  const std::string folder = name.substr(0, first);
  const std::string part = first == std::string::npos ? "" : name.substr(first + 1, second - first - 1);
  const std::string rest = second == std::string::npos ? "" : name.substr(second + 1);
  const std::string repo = repo_of_folder(folder);
  if (repo.empty()) refuse(entry, "is not of a model's folder");
  if (!part.empty() && part != "blobs" && part != "refs" && part != "snapshots") {
    refuse(entry, "is not in blobs, refs or snapshots");
  }
  if (entry.kind == TarEntry::Kind::folder) return;  // made where something lies in them
  Bundle& bundle = bundles_[folder];
  bundle.repo = repo;
  if (part == "blobs" && entry.kind == TarEntry::Kind::file && is_etag(rest)) {
    bundle.blobs.emplace(rest, entry);
  } else if (part == "snapshots" && entry.kind == TarEntry::Kind::link) {
    take_link(bundle, entry, rest);
  } else if (part == "refs" && entry.kind == TarEntry::Kind::file && !rest.empty()) {
    take_ref(bundle, entry, rest);
  } else {
    refuse(entry, "is of a kind that does not belong there");
  }
}

void Inspector::take_link(Bundle& bundle, const TarEntry& entry, const std::string& rest) {
  const std::size_t slash = rest.find('/');
  Bundle::Link link;
  link.commit = rest.substr(0, slash);
  if (!is_commit(link.commit) || slash == std::string::npos) refuse(entry, "is not in a commit's folder");
  link.file = rest.substr(slash + 1);
  link.etag = entry.target.substr(entry.target.rfind('/') + 1);
  if (!is_etag(link.etag) || entry.target != RepoPaths::link_target(link.file, link.etag)) {
    refuse(entry, "is a link that does not lead to its repository's blobs");
  }
  bundle.links.push_back(std::move(link));
}

void Inspector::take_ref(Bundle& bundle, const TarEntry& entry, const std::string& revision) {
  std::string commit(kCommitDigits, '\0');
  const bool read =
      entry.size == kCommitDigits &&
      read_at(reader_.fd(), entry.offset, std::as_writable_bytes(std::span(commit)), reader_.path()) == kCommitDigits;
  if (!read || !is_commit(commit) || is_commit(revision)) refuse(entry, "is no reference to a commit");
  bundle.refs.emplace(revision, commit);
}

void Inspector::check_whole(const Bundle& bundle) const {
  std::set<std::string> files, commits, etags;
  for (const auto& link : bundle.links) {
    if (!bundle.blobs.contains(link.etag)) reader_.refuse("it lacks the content of '" + link.file + "'");
    files.insert(link.commit + "/" + link.file);
    commits.insert(link.commit);
    etags.insert(link.etag);
  }
  for (const std::string& file : files) {
    for (auto slash = file.find('/'); slash != std::string::npos; slash = file.find('/', slash + 1)) {
      if (files.contains(file.substr(0, slash))) reader_.refuse("'" + file + "' lies in a folder that is also a file");
    }
  }
  for (const auto& [etag, entry] : bundle.blobs) {
    if (!etags.contains(etag)) refuse(entry, "is used by no file");
  }
  for (const auto& [revision, commit] : bundle.refs) {
    if (!commits.contains(commit)) reader_.refuse("its reference '" + revision + "' names a commit that it lacks");
    for (auto slash = revision.find('/'); slash != std::string::npos; slash = revision.find('/', slash + 1)) {
      if (bundle.refs.contains(revision.substr(0, slash))) {
        reader_.refuse("its reference '" + revision + "' lies below another");
      }
    }
  }
}

void Inspector::check_hashes(const Bundle& bundle) const {
  std::map<std::string, std::string> files;  // by etag
  for (const auto& link : bundle.links) files.emplace(link.etag, link.file);
  for (const auto& [etag, entry] : bundle.blobs) {
    Progress progress{.repo = bundle.repo, .file = files[etag], .total = entry.size};
    progress.from_cache = true;
    const auto count = [&](std::span<const std::byte> block) {
      progress.bytes += block.size();
      if (on_progress_) on_progress_(progress);
    };
    if (hash_range(reader_.fd(), entry.offset, entry.size, etag, reader_.path(), stop_, count) != etag) {
      throw Error(Errc::integrity, "refused the archive '" + reader_.path().string() + "': the bytes of blob " + etag +
                                       " do not have that hash; copy it again, or make it anew with `stella download "
                                       "--pack`");
    }
    progress.finished = true;
    if (on_progress_) on_progress_(progress);
  }
}

std::vector<Bundle> Inspector::inspect() {
  while (const auto entry = reader_.next()) {
    check_stop(stop_);
    take(*entry);
  }
  std::vector<Bundle> bundles;
  for (auto& [folder, bundle] : bundles_) {
    check_whole(bundle);
    bundles.push_back(std::move(bundle));
  }
  if (bundles.empty()) reader_.refuse("it is empty");
  for (const Bundle& bundle : bundles) check_hashes(bundle);
  return bundles;
}

}  // namespace
}  // namespace stella::hub

namespace stella::cache {

std::vector<Unpacked> unpack(const HubOptions& hub, const std::filesystem::path& archive,
                             const ProgressCallback& on_progress, const std::stop_token& stop) {
  hub::TarReader reader(archive);
  const auto bundles = hub::Inspector(reader, on_progress, stop).inspect();
  for (const hub::Bundle& bundle : bundles) hub::check_place(hub, bundle);
  std::vector<Unpacked> unpacked;
  for (const hub::Bundle& bundle : bundles) {
    hub::place(hub, reader, bundle, stop);
    std::set<std::string> commits;
    for (const auto& link : bundle.links) commits.insert(link.commit);
    for (const std::string& commit : commits) {
      unpacked.push_back({bundle.repo, commit, hub::RepoPaths(hub.cache_dir, bundle.repo).snapshot(commit)});
    }
  }
  return unpacked;
}

}  // namespace stella::cache
