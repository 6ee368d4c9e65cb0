#include "engine/packed_store.hpp"

#include "base/log.hpp"
#include "base/sha.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include <boost/json.hpp>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr const char* kVersion = "1";  // of what calibration and choice mean

bool is_hash(const std::string& text) {
  return (text.size() == 40 || text.size() == 64) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

/// The last part of a name, of characters that every file system takes.
std::string short_name(const std::string& name) {
  const fs::path path = fs::path(name).lexically_normal();
  std::string text = (path.has_filename() ? path : path.parent_path()).filename().string();
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.') c = '_';
  }
  return text.substr(0, 80);
}

std::string key_digits(const std::string& text) {
  return sha256_hex(std::string(kVersion) + "\n" + text).substr(0, 16);
}

/// A one-line JSON object, or nothing where it is none.
std::optional<json::object> parse_line(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

std::string text_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::optional<models::Agreement> agreement_of(const json::object& object) {
  const json::value* mean = object.if_contains("mean_cosine");
  const json::value* least = object.if_contains("least_cosine");
  if (mean == nullptr || least == nullptr || !mean->is_number() || !least->is_number()) return std::nullopt;
  return models::Agreement{mean->to_number<double>(), least->to_number<double>()};
}

}  // namespace

SourceIdentity identify(const std::string& name, const std::vector<fs::path>& files) {
  SourceIdentity identity{source_name(name), {}};
  for (const fs::path& file : files) {
    const fs::path real = fs::weakly_canonical(file);
    std::string content = real.filename().string();
    if (real.parent_path().filename() != "blobs" || !is_hash(content)) {
      struct stat status {};
      if (::stat(real.c_str(), &status) != 0) {
        throw Error(Errc::io_error, "cannot stat " + real.string() + ": " + std::strerror(errno),
                    {.file = real.string()});
      }
      content = real.string() + ":" + std::to_string(status.st_size) + ":" + std::to_string(status.st_ino) + ":" +
                std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec);
    }
    identity.content += (identity.content.empty() ? "" : "|") + content;
  }
  return identity;
}

fs::path PackedStore::path_of(const PackedKey& key) const {
  return folder_ / (name_prefix(key.source.name) + to_string(key.precision) + "-" +
                    key_digits(key.source.content + "\n" + key.layout) + std::string(kPackedSuffix));
}

std::optional<StoredPacked> PackedStore::find(const PackedKey& key) const {
  if (!enabled()) return std::nullopt;
  const fs::path path = path_of(key);
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  try {
    StoredPacked stored{models::PackedFile::open(path), {}};
    const auto about = parse_line(stored.file->about());
    if (about && text_of(*about, "content") == key.source.content && text_of(*about, "layout") == key.layout) {
      stored.agreement = agreement_of(*about);
      return stored;
    }
    log(LogLevel::warning, path.string() + ": packed for other weights; packing again");
  } catch (const Error& failure) {
    log(LogLevel::warning, std::string(failure.what()) + "; packing again");
  }
  fs::remove(path, error);
  return std::nullopt;
}

std::unique_ptr<models::PackedFileWriter> PackedStore::writer(const PackedKey& key) const {
  if (!enabled()) return nullptr;
  try {
    return std::make_unique<models::PackedFileWriter>(path_of(key));
  } catch (const Error& failure) {
    log(LogLevel::warning, std::string(failure.what()) + "; every start will pack the weights again");
    return nullptr;
  }
}

bool PackedStore::commit(models::PackedFileWriter& writer, const PackedKey& key,
                         const std::optional<models::Agreement>& agreement) {
  json::object about{{"source", key.source.name},
                     {"content", key.source.content},
                     {"precision", to_string(key.precision)},
                     {"layout", key.layout}};
  if (agreement) {
    about["mean_cosine"] = agreement->mean;
    about["least_cosine"] = agreement->least;
  }
  const bool kept = writer.commit(json::serialize(about));
  if (!kept) log(LogLevel::warning, "the packed weights could not be written; every start will pack them again");
  return kept;
}

void PackedStore::remove(const PackedKey& key) const {
  std::error_code error;
  if (enabled()) fs::remove(path_of(key), error);
}

fs::path PackedStore::choice_path(const SourceIdentity& source, const std::string& kernels) const {
  return folder_ / (name_prefix(source.name) + "auto-" + key_digits(source.content + "\n" + kernels) +
                    std::string(kChoiceSuffix));
}

std::optional<PrecisionChoice> PackedStore::choice(const SourceIdentity& source, const std::string& kernels) const {
  if (!enabled()) return std::nullopt;
  std::ifstream in(choice_path(source, kernels));
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  const auto stored = parse_line(line);
  if (!stored || text_of(*stored, "content") != source.content || text_of(*stored, "kernels") != kernels) {
    return std::nullopt;
  }
  try {
    const Precision precision = parse_precision(text_of(*stored, "precision"));
    if (precision == Precision::automatic) return std::nullopt;
    return PrecisionChoice{precision, text_of(*stored, "reason")};
  } catch (const Error&) {
    return std::nullopt;
  }
}

void PackedStore::keep_choice(const SourceIdentity& source, const std::string& kernels,
                              const PrecisionChoice& choice) const {
  if (!enabled()) return;
  const fs::path path = choice_path(source, kernels);
  const fs::path temporary = path.string() + std::string(kTemporaryMark) + std::to_string(::getpid());
  std::error_code error;
  fs::create_directories(folder_, error);
  {
    std::ofstream out(temporary);
    out << json::serialize(json::object{{"source", source.name},
                                        {"content", source.content},
                                        {"kernels", kernels},
                                        {"precision", to_string(choice.precision)},
                                        {"reason", choice.reason}})
        << "\n";
  }
  fs::rename(temporary, path, error);
}

std::string name_prefix(const std::string& source) {
  return short_name(source) + "-";
}

std::optional<PackedAbout> read_about(const std::string& line) {
  const auto object = parse_line(line);
  if (!object) return std::nullopt;
  return PackedAbout{text_of(*object, "source"), text_of(*object, "precision")};
}

std::string source_name(const std::string& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) return model;
  const fs::path real = fs::canonical(model, error);
  return error ? model : real.string();
}

}  // namespace stella::engine
