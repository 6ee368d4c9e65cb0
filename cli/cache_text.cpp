#include "cli/cache_text.hpp"

#include "base/text.hpp"
#include "cli/failure.hpp"
#include "cli/text.hpp"

#include <algorithm>

namespace stella::cli {
namespace {

std::uint64_t size_of(const cache::Revision& revision) {
  std::uint64_t bytes = 0;
  for (const cache::File& file : revision.files) bytes += file.size.value_or(0);
  return bytes;
}

/// A name as a JSON string that any reader takes and any terminal shows: names are bytes of anybody's choice.
std::string name_json(const std::string& name) {
  return json_string(printable(name));
}

/// `[a,b]` of whatever `write` makes of each item.
template <class Items, class Write>
std::string json_array(const Items& items, Write write) {
  std::string out = "[";
  for (const auto& item : items) {
    if (out.size() > 1) out += ',';
    out += write(item);
  }
  out += ']';
  return out;
}

std::string revision_json(const cache::Revision& revision) {
  const auto file_json = [](const cache::File& file) {
    return "{\"file\":" + name_json(file.path) + ",\"size\":" + (file.size ? std::to_string(*file.size) : "null") +
           ",\"blob\":" + (file.blob.empty() ? "null" : name_json(file.blob)) + "}";
  };
  return "{\"commit\":" + name_json(revision.commit) +
         ",\"refs\":" + json_array(revision.refs, [](const std::string& ref) { return name_json(ref); }) +
         ",\"size\":" + std::to_string(size_of(revision)) + ",\"files\":" + json_array(revision.files, file_json) + "}";
}

std::string repository_json(const cache::Repository& repository) {
  const auto blob_json = [](const cache::Blob& blob) {
    return "{\"hash\":" + name_json(blob.hash) + ",\"size\":" + std::to_string(blob.size) +
           ",\"referenced\":" + (blob.referenced ? "true" : "false") + "}";
  };
  const auto unfinished_json = [](const cache::Unfinished& file) {
    return "{\"name\":" + name_json(file.name) + ",\"size\":" + std::to_string(file.bytes) + "}";
  };
  return "{\"repo\":" + name_json(repository.repo) + ",\"folder\":" + name_json(repository.folder.string()) +
         ",\"size\":" + std::to_string(repository.bytes) +
         ",\"revisions\":" + json_array(repository.revisions, revision_json) +
         ",\"blobs\":" + json_array(repository.blobs, blob_json) +
         ",\"unfinished\":" + json_array(repository.unfinished, unfinished_json) +
         (repository.failure.empty() ? "" : ",\"failure\":" + name_json(repository.failure)) + "}";
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

std::string packed_json(const packed_weights::File& file) {
  return "{\"file\":" + name_json(file.path.filename().string()) +
         ",\"source\":" + (file.source.empty() ? "null" : name_json(file.source)) +
         ",\"precision\":" + (file.precision ? name_json(to_string(*file.precision)) : "null") +
         ",\"size\":" + std::to_string(file.bytes) + ",\"readable\":" + (file.readable ? "true" : "false") +
         ",\"unfinished\":" + (file.unfinished ? "true" : "false") + "}";
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
  return "{\"cache\":" + name_json(contents.directory.string()) + ",\"size\":" + std::to_string(contents.bytes) +
         ",\"repositories\":" + json_array(contents.repositories, repository_json) +
         ",\"packed_weights\":{\"folder\":" + name_json(packed.directory.string()) +
         ",\"size\":" + std::to_string(packed.bytes) + ",\"files\":" + json_array(packed.files, packed_json) +
         "},\"total\":" + std::to_string(contents.bytes + packed.bytes) + "}\n";
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
