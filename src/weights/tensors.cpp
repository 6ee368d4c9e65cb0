#include "weights/tensors.hpp"

#include "stella/error.hpp"
#include "weights/json_reader.hpp"
#include "weights/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <mutex>
#include <string_view>
#include <utility>

namespace stella::weights {
namespace {

float from_bf16(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// IEEE half to single: exact for every value, subnormals and infinities included.
float from_f16(std::uint16_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
  const std::uint32_t rest = bits & 0x7FFFU;
  if (rest >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | (rest & 0x3FFU) << 13U);
  // As a single, the bits are the half's value scaled by 2^-112; the product is exact.
  const float magnitude = std::bit_cast<float>(rest << 13U) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

constexpr std::size_t kMaxShards = 1000;  // the largest published models have some 200

/// What TensorFlow's checkpoints called these, and the first conversions of them still do.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kOldNames{
    {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}}};

bool is_plain_shard_name(std::string_view name) {
  constexpr std::string_view kSuffix = ".safetensors";
  if (name.size() <= kSuffix.size() || !name.ends_with(kSuffix) || name.front() == '.') return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
}

}  // namespace

/// A tensor stored as F64, made f32 when it is first asked for.
struct Tensors::Narrowed {
  std::span<const std::byte> stored{};
  std::once_flag once{};
  std::vector<float> values{};
  TensorView view{};

  void make() {
    values.resize(stored.size() / sizeof(double));
    for (std::size_t i = 0; i < values.size(); ++i) {
      double value = 0;
      std::memcpy(&value, stored.data() + i * sizeof value, sizeof value);
      values[i] = static_cast<float>(value);
    }
    view.bytes = std::as_bytes(std::span(values));
  }
};

Tensors::Tensors() = default;
Tensors::Tensors(Tensors&&) noexcept = default;
Tensors& Tensors::operator=(Tensors&&) noexcept = default;
Tensors::~Tensors() = default;

void TensorView::drop(std::span<const std::byte> part) const noexcept {
  if (file == nullptr) return;
  const std::span<const std::byte> mapped = file->bytes();
  const std::less<const std::byte*> before;
  const bool inside = !before(part.data(), mapped.data()) && before(part.data(), mapped.data() + mapped.size());
  if (!inside) return;  // an aligned copy
  file->drop(static_cast<std::size_t>(part.data() - mapped.data()), part.size());
}

Tensors Tensors::open(std::span<const std::filesystem::path> files) {
  if (files.empty()) throw Error(Errc::invalid_argument, "no safetensors file to open");
  Tensors result;
  for (const std::filesystem::path& path : files) {
    result.files_.push_back(std::make_unique<const MappedFile>(path));
    result.add(*result.files_.back());
  }
  return result;
}

void Tensors::add(const MappedFile& file) {
  const std::string where = file.path().string();
  for (SafetensorsEntry& entry : read_safetensors_header(file.bytes(), where)) {
    const auto known = tensors_.find(entry.name);
    const auto other = unreadable_.find(entry.name);
    if (known != tensors_.end() || other != unreadable_.end()) {
      throw Error(Errc::malformed_file,
                  where + ": tensor '" + entry.name + "' is also in another file of the checkpoint",
                  {.file = where, .tensor = entry.name});
    }
    const bool wide = entry.stored == "F64";
    if (!entry.type && !wide) {
      unreadable_.emplace(entry.name, where + ": tensor '" + entry.name + "' is stored as " + entry.stored +
                                          "; only F64, F32, F16 and BF16 weights can be read");
      continue;
    }
    TensorView view;
    view.type = entry.type.value_or(DType::f32);
    view.shape = std::move(entry.shape);
    view.bytes = file.bytes().subspan(entry.begin, entry.end - entry.begin);
    view.file = &file;
    const std::span<const std::byte> stored = view.bytes;
    if (wide) view.bytes = {};
    if (reinterpret_cast<std::uintptr_t>(view.bytes.data()) % size_of(view.type) != 0) {
      // The format does not promise alignment; writers other than the reference one produce such files.
      auto copy = std::make_unique<std::byte[]>(view.bytes.size());
      std::memcpy(copy.get(), view.bytes.data(), view.bytes.size());
      view.bytes = {copy.get(), view.bytes.size()};
      aligned_.push_back(std::move(copy));
    }
    const auto at = tensors_.emplace(std::move(entry.name), std::move(view)).first;
    at->second.name = at->first;
    if (wide) {
      auto narrowed = std::make_unique<Narrowed>();
      narrowed->stored = stored;
      narrowed->view = at->second;
      narrowed_.emplace(&at->second, std::move(narrowed));
    }
  }
}

const TensorView* Tensors::find(const std::string& name) const {
  if (const auto at = tensors_.find(name); at != tensors_.end()) return &at->second;
  for (const auto& [suffix, old_suffix] : kOldNames) {
    if (!name.ends_with(suffix)) continue;
    const auto at = tensors_.find(name.substr(0, name.size() - suffix.size()).append(old_suffix));
    if (at != tensors_.end()) return &at->second;
  }
  return nullptr;
}

const TensorView& Tensors::get(const std::string& name, std::span<const std::size_t> shape) const {
  const TensorView* tensor = find(name);
  if (tensor == nullptr) {
    const std::string first = files_.empty() ? std::string() : files_.front()->path().string();
    if (const auto at = unreadable_.find(name); at != unreadable_.end()) {
      throw Error(Errc::unsupported_model, at->second, {.file = first, .tensor = name});
    }
    const std::string where = files_.size() > 1 ? first + " and its other shards" : first;
    throw Error(Errc::missing_tensor,
                "tensor '" + name + "' is missing from " + where + ", though config.json asks for it",
                {.file = first, .tensor = name});
  }
  if (!std::equal(shape.begin(), shape.end(), tensor->shape.begin(), tensor->shape.end())) {
    const std::string where = tensor->file->path().string();
    throw Error(Errc::malformed_file,
                where + ": tensor '" + name + "' has the shape " + shape_text(tensor->shape) +
                    " where config.json asks for " + shape_text(shape),
                {.file = where, .tensor = name});
  }
  const auto narrowed = narrowed_.find(tensor);
  if (narrowed == narrowed_.end()) return *tensor;
  Narrowed& f64 = *narrowed->second;
  std::call_once(f64.once, [&] { f64.make(); });
  return f64.view;
}

std::vector<std::string> Tensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

std::vector<std::string> shard_names(std::string_view index_json, const std::string& source) {
  const json::value index = parse_json(index_json, source);
  const JsonObject top(index, source);
  const json::value* map = top.find("weight_map");
  if (map == nullptr) top.malformed("weight_map", "is missing");
  if (!map->is_object() || map->get_object().empty()) top.malformed("weight_map", "is not an object of tensor names");
  std::vector<std::string> shards;
  for (const auto& [tensor, value] : map->get_object()) {
    if (!value.is_string() || !is_plain_shard_name(std::string_view(value.get_string()))) {
      throw Error(Errc::malformed_file,
                  source + ": tensor '" + std::string(tensor) + "' is said to be in " + json::serialize(value) +
                      ", which is not the plain name of a .safetensors file",
                  {.file = source, .tensor = std::string(tensor)});
    }
    const std::string name(value.get_string());
    if (std::find(shards.begin(), shards.end(), name) != shards.end()) continue;
    if (shards.size() == kMaxShards) {
      throw Error(Errc::limit_exceeded,
                  source + ": names more than the " + std::to_string(kMaxShards) + " files that are read",
                  {.file = source});
    }
    shards.push_back(name);
  }
  return shards;
}

std::vector<float> to_f32(const TensorView& tensor) {
  std::vector<float> values(tensor.bytes.size() / size_of(tensor.type));
  if (values.empty()) return values;
  if (tensor.type == DType::f32) {
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  const auto convert = tensor.type == DType::f16 ? from_f16 : from_bf16;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, tensor.bytes.data() + 2 * i, sizeof bits);
    values[i] = convert(bits);
  }
  return values;
}

}  // namespace stella::weights
