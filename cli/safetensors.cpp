#include "cli/safetensors.hpp"

#include "cli/failure.hpp"

#include <cstring>
#include <exception>
#include <fstream>
#include <utility>

#include <boost/json.hpp>

namespace stella::cli {

VectorFile::VectorFile(std::filesystem::path path) : path_(std::move(path)) {
  std::ifstream file(path_, std::ios::binary);
  std::uint64_t header_bytes = 0;
  if (!file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes)) fail("cannot be read");
  const std::uint64_t size = std::filesystem::file_size(path_);
  if (header_bytes > size - sizeof header_bytes || header_bytes > 100'000'000)
    fail("has a header longer than the file");
  std::string header(header_bytes, '\0');
  if (!file.read(header.data(), static_cast<std::streamsize>(header_bytes))) fail("cannot be read");
  const std::uint64_t data = sizeof header_bytes + header_bytes;
  try {
    const boost::json::value root = boost::json::parse(header);
    for (const auto& [name, value] : root.as_object()) {
      if (name == "__metadata__") continue;
      const auto& entry = value.as_object();
      if (entry.at("dtype").as_string() != "F32") fail("holds '" + std::string(name) + "', which is not F32");
      const auto& offsets = entry.at("data_offsets").as_array();
      const auto begin = offsets.at(0).to_number<std::uint64_t>();
      const auto end = offsets.at(1).to_number<std::uint64_t>();
      if (begin > end || end > size - data || (end - begin) % sizeof(float) != 0) {
        fail("holds '" + std::string(name) + "' outside the file");
      }
      entries_[std::string(name)] = {data + begin, static_cast<std::size_t>(end - begin) / sizeof(float)};
    }
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {
    fail(std::string("has a broken header (") + error.what() + ")");
  }
}

std::vector<std::string> VectorFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

std::vector<float> VectorFile::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail("has no entry '" + name + "'");
  std::vector<float> values(found->second.count);
  std::ifstream file(path_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(found->second.offset));
  if (!file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)))) {
    fail("ends inside '" + name + "'");
  }
  return values;
}

void VectorFile::fail(const std::string& problem) const {
  throw Failure(kRuntimeFailure, "'" + path_.string() + "' " + problem + "; fetch or make it again");
}

}  // namespace stella::cli
