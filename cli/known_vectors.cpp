#include "cli/known_vectors.hpp"

#include "base/dtype.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "cli/failure.hpp"
#include "stella/error.hpp"
#include "weights/safetensors.hpp"

#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string_view>

namespace stella::cli {
namespace {

json::value read_json(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  json::error_code error;
  json::value value = json::parse(text, error);
  if (!file || error) throw Failure(kRuntimeFailure, "'" + path.string() + "' cannot be read as JSON; fetch it again");
  return value;
}

constexpr std::uint64_t kMaxVectorBytes = std::uint64_t{1} << 30U;

/// goldens.safetensors: float32 vectors by name.
struct VectorFile {
  explicit VectorFile(const std::filesystem::path& path)
      : bytes(read_text_file(path, kMaxVectorBytes)),
        entries(weights::read_safetensors_header(std::as_bytes(std::span(bytes)), path.string())) {
    for (const weights::SafetensorsEntry& entry : entries) {
      if (entry.type == DType::f32) continue;
      throw Failure(kRuntimeFailure,
                    "'" + path.string() + "' holds '" + entry.name + "', which is not F32; fetch it again");
    }
  }
  std::vector<float> read(const weights::SafetensorsEntry& entry) const {
    std::vector<float> values((entry.end - entry.begin) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + entry.begin, entry.end - entry.begin);
    return values;
  }
  std::string bytes;
  std::vector<weights::SafetensorsEntry> entries;
};

template <class Read>
KnownVectors checked(const std::filesystem::path& path, Read&& read) {
  try {
    return read();
  } catch (const boost::system::system_error& error) {
    throw Failure(kRuntimeFailure, "'" + path.string() + "' is not laid out as expected: " + error.what());
  } catch (const Error& error) {
    throw Failure(kRuntimeFailure, error.what());
  } catch (const std::out_of_range&) {
    throw Failure(kRuntimeFailure, "'" + path.string() + "' lacks an entry that is expected in it; fetch it again");
  }
}

std::string to_std(const json::string& text) {
  return {text.data(), text.size()};
}

}  // namespace

std::optional<KnownVectors> read_goldens(const std::filesystem::path& checkpoint) {
  const std::filesystem::path list = checkpoint / "goldens/goldens.json";
  std::error_code error;
  if (!std::filesystem::exists(list, error)) return std::nullopt;
  return checked(list, [&] {
    const VectorFile file(checkpoint / "goldens/goldens.safetensors");
    KnownVectors known{"goldens of the checkpoint", 0.999999, 2e-5, {}};
    const json::value root = read_json(list);
    const auto& texts = root.at("texts").as_array();
    for (const auto& value : root.at("cases").as_array()) {
      const auto index = value.at("text").to_number<std::size_t>();
      KnownText entry;
      entry.text = to_std(texts.at(index).as_string());
      if (entry.text.empty()) continue;  // the program takes no empty text
      entry.task = to_std(value.at("task").as_string());
      entry.prompt = to_std(root.at("prompts").at(entry.task).as_string());
      entry.max_length = value.at("max_len").to_number<std::size_t>();
      for (const auto& id : value.at("ids").as_array()) entry.ids.push_back(id.to_number<std::int32_t>());
      const std::string prefix =
          std::to_string(index) + "." + entry.task + "." + std::to_string(entry.max_length) + ".";
      for (const weights::SafetensorsEntry& vector : file.entries) {
        const std::string& name = vector.name;
        if (!name.starts_with(prefix)) continue;
        std::size_t dimension = 0;
        const char* const end = name.data() + name.size();
        const auto [last, problem] = std::from_chars(name.data() + prefix.size(), end, dimension);
        if (problem == std::errc{} && last == end) entry.vectors.emplace_back(dimension, file.read(vector));
      }
      known.texts.push_back(std::move(entry));
    }
    return known;
  });
}

std::optional<KnownVectors> read_published(const std::string& model, const std::filesystem::path& share) {
  constexpr std::string_view kName = "stella_en_400M_v5";
  const std::filesystem::path key(model.ends_with('/') ? model.substr(0, model.size() - 1) : model);
  if (key.filename() != kName) return std::nullopt;
  const std::filesystem::path path = share / "published" / (std::string(kName) + ".json");
  return checked(path, [&] {
    // Their GELU was the tanh form, ours is the exact one that the checkpoint asks for.
    KnownVectors known{"published vectors of " + std::string(kName), 0.999, std::nullopt, {}};
    const json::value root = read_json(path);
    const auto& texts = root.at("texts").as_array();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      KnownText entry;
      entry.text = to_std(texts.at(i).as_string());
      entry.task = "none";
      for (const auto& [name, rows] : root.at("vectors").as_object()) {
        std::vector<float> vector;
        for (const auto& number : rows.as_array().at(i).as_array()) vector.push_back(number.to_number<float>());
        entry.vectors.emplace_back(vector.size(), std::move(vector));
      }
      known.texts.push_back(std::move(entry));
    }
    return known;
  });
}

}  // namespace stella::cli
