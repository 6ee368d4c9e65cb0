#include "cli/cache_text.hpp"

#include "base/text.hpp"
#include "cli/failure.hpp"
#include "cli/text.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <optional>

namespace stella::cli {
namespace {

using format::JsonText;

std::uint64_t size_of(const cache::Revision& revision) {
  std::uint64_t bytes = 0;
  for (const cache::File& file : revision.files) bytes += file.size.value_or(0);
  return bytes;
}

// Names are bytes of anybody's choice: printable() makes strings of them that any terminal shows.

std::optional<std::string> unless_empty(const std::string& name) {
  return name.empty() ? std::nullopt : std::optional(printable(name));
}

void put_revision(JsonText& json, const cache::Revision& revision) {
  json.begin_object().member("commit", printable(revision.commit));
  json.list("refs", revision.refs, [](JsonText& to, const std::string& ref) { to.value(printable(ref)); });
  json.member("size", size_of(revision));
  json.list("files", revision.files, [](JsonText& to, const cache::File& file) {
    to.begin_object().member("file", printable(file.path)).member("size", file.size);
    to.member("blob", unless_empty(file.blob)).end_object();
  });
  json.end_object();
}

void put_repository(JsonText& json, const cache::Repository& repository) {
  json.begin_object().member("repo", printable(repository.repo));
  json.member("folder", printable(repository.folder.string())).member("size", repository.bytes);
  json.list("revisions", repository.revisions, put_revision);
  json.list("blobs", repository.blobs, [](JsonText& to, const cache::Blob& blob) {
    to.begin_object().member("hash", printable(blob.hash)).member("size", blob.size);
    to.member("referenced", blob.referenced).end_object();
  });
  json.list("unfinished", repository.unfinished, [](JsonText& to, const cache::Unfinished& file) {
    to.begin_object().member("name", printable(file.name)).member("size", file.bytes).end_object();
  });
  if (!repository.failure.empty()) json.member("failure", printable(repository.failure));
  json.end_object();
}

std::string repository_text(const cache::Repository& repository) {
  if (!repository.failure.empty()) return repository.repo + ": " + printable_line(repository.failure) + "\n";
  std::string out = repository.repo + ": " + format_bytes(repository.bytes) + "\n";
  for (const cache::Revision& revision : repository.revisions) {
    out +=
        "  " + revision.commit + "  " + count(revision.files.size(), "file") + ", " + format_bytes(size_of(revision));
    for (const std::string& ref : revision.refs) out += "  " + printable_line(ref);
    const auto missing =
        std::count_if(revision.files.begin(), revision.files.end(), [](const auto& f) { return !f.size; });
    if (missing != 0) out += "  (" + count(static_cast<std::size_t>(missing), "link") + " to nowhere)";
    out += "\n";
  }
  const auto unused =
      std::count_if(repository.blobs.begin(), repository.blobs.end(), [](const auto& b) { return !b.referenced; });
  if (unused != 0) out += "  " + count(static_cast<std::size_t>(unused), "blob") + " that no revision uses\n";
  std::uint64_t unfinished = 0;
  for (const cache::Unfinished& file : repository.unfinished) unfinished += file.bytes;
  if (!repository.unfinished.empty()) out += "  unfinished downloads: " + format_bytes(unfinished) + "\n";
  return out;
}

void put_packed(JsonText& json, const packed_weights::File& file) {
  json.begin_object().member("file", printable(file.path.filename().string()));
  json.member("source", unless_empty(file.source)).key("precision");
  file.precision ? json.value(to_string(*file.precision)) : json.raw("null");
  json.member("size", file.bytes).member("readable", file.readable).member("unfinished", file.unfinished).end_object();
}

std::string packed_text(const packed_weights::Contents& packed) {
  if (packed.files.empty()) return {};
  std::string out = "packed weights: " + format_bytes(packed.bytes) + "\n";
  for (const packed_weights::File& file : packed.files) {
    const std::string name = printable_line(file.path.filename().string());
    if (file.readable) {
      out += "  " + printable_line(file.source) + "  " + to_string(*file.precision) + ", " + format_bytes(file.bytes) +
             "\n";
    } else {
      out += "  " + name + "  " + (file.unfinished ? "unfinished, " : "damaged, ") + format_bytes(file.bytes) + "\n";
    }
  }
  return out;
}

}  // namespace

std::string count(std::size_t number, const std::string& singular) {
  return std::to_string(number) + " " + singular + (number == 1 ? "" : "s");
}

std::string cache_text(const cache::Contents& contents, const packed_weights::Contents& packed) {
  std::string text;
  for (const cache::Repository& repository : contents.repositories) text += repository_text(repository);
  text += packed_text(packed) + format_bytes(contents.bytes + packed.bytes) + " in " +
          printable_line(contents.directory.string());
  if (!packed.files.empty()) text += " and " + printable_line(packed.directory.string());
  return text + "\n";
}

std::string cache_json(const cache::Contents& contents, const packed_weights::Contents& packed) {
  JsonText json;
  json.begin_object().member("cache", printable(contents.directory.string())).member("size", contents.bytes);
  json.list("repositories", contents.repositories, put_repository);
  json.key("packed_weights").begin_object().member("folder", printable(packed.directory.string()));
  json.member("size", packed.bytes).list("files", packed.files, put_packed).end_object();
  return json.member("total", contents.bytes + packed.bytes).end_object().take() + "\n";
}

std::string waste_text(const cache::Waste& waste) {
  const auto what = [&]() -> std::string {
    switch (waste.kind) {
      case cache::Waste::Kind::unfinished:
        return "unfinished";
      case cache::Waste::Kind::revision:
        return "revision";
      case cache::Waste::Kind::blob:
        return "unused";
      case cache::Waste::Kind::temporary:
        return "left over";
    }
    return {};
  };
  return what() + "  " + waste.repo + "  " + printable_line(waste.name) + "  " + format_bytes(waste.bytes) + "\n";
}

std::string problem_text(const cache::Problem& problem, bool repair) {
  std::string out = problem.kind == cache::Problem::Kind::damaged    ? "damaged: "
                    : problem.kind == cache::Problem::Kind::dangling ? "link to nowhere: "
                                                                     : "unreadable: ";
  out += problem.repo;
  for (const auto& user : problem.users) {
    out.append(" ").append(printable_line(user.file)).append(" (").append(user.commit, 0, 12).append(")");
  }
  if (!problem.blob.empty()) out += " blob " + problem.blob;
  if (problem.repaired) return out + ": repaired\n";
  if (!problem.failure.empty())
    return out + ": " + std::string(repair ? "not repaired: " : "") + printable_line(problem.failure) + "\n";
  return out + "\n";
}

std::string problem_text(const packed_weights::Problem& problem) {
  std::string out = "damaged: packed weights " + printable_line(problem.path.string());
  if (!problem.source.empty()) out += " of " + printable_line(problem.source);
  out += ": " + printable_line(problem.what);
  if (problem.removed) return out + ": removed, the next load packs again\n";
  return out + (problem.failure.empty() ? "" : ": not removed: " + printable_line(problem.failure)) + "\n";
}

}  // namespace stella::cli
