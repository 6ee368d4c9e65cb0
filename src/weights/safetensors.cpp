#include "weights/safetensors.hpp"

#include "stella/error.hpp"
#include "weights/json_reader.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace stella::weights {
namespace {

namespace json = boost::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kSmallestFile = 20;
constexpr std::uint64_t kLargestHeader = 100'000'000;  // the format's own limit

constexpr const char* kRemedy = "; the file is damaged or incomplete, fetch it again";

struct StoredType {
  std::string_view name;
  std::size_t bits;
  std::optional<DType> type;
};
constexpr std::array<StoredType, 20> kStoredTypes = {{
    {"F32", 32, DType::f32},      {"F16", 16, DType::f16},      {"BF16", 16, DType::bf16},
    {"F64", 64, std::nullopt},    {"I64", 64, std::nullopt},    {"U64", 64, std::nullopt},
    {"I32", 32, std::nullopt},    {"U32", 32, std::nullopt},    {"I16", 16, std::nullopt},
    {"U16", 16, std::nullopt},    {"I8", 8, std::nullopt},      {"U8", 8, std::nullopt},
    {"BOOL", 8, std::nullopt},    {"F8_E5M2", 8, std::nullopt}, {"F8_E4M3", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt}, {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},      {"C64", 64, std::nullopt},
}};

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(Errc::malformed_file, file + ": " + what + kRemedy, {.file = file});
}

[[noreturn]] void fail(const std::string& file, const std::string& tensor, const std::string& what) {
  throw Error(Errc::malformed_file, file + ": tensor '" + tensor + "' " + what + kRemedy,
              {.file = file, .tensor = tensor});
}

std::string range_text(std::uint64_t begin, std::uint64_t end) {
  std::string text = "[";
  text.append(std::to_string(begin)).append(", ").append(std::to_string(end)).append(")");
  return text;
}

/// An array of whole numbers, or nothing where it is something else.
std::optional<std::vector<std::size_t>> whole_numbers(const json::value* value) {
  const json::array* array = value == nullptr ? nullptr : value->if_array();
  if (array == nullptr) return std::nullopt;
  std::vector<std::size_t> numbers;
  for (const json::value& item : *array) {
    boost::system::error_code error;
    const auto number = item.to_number<std::uint64_t>(error);
    if (error || item.is_double()) return std::nullopt;
    numbers.push_back(number);
  }
  return numbers;
}

/// Bytes of a tensor, or nothing where the product does not fit into 64 bits or not into whole bytes.
std::optional<std::uint64_t> byte_count(const std::vector<std::size_t>& shape, std::size_t bits) {
  if (std::find(shape.begin(), shape.end(), 0U) != shape.end()) return 0;
  std::uint64_t total = bits;
  for (const std::size_t size : shape) {
    if (__builtin_mul_overflow(total, static_cast<std::uint64_t>(size), &total)) return std::nullopt;
  }
  return total % 8 == 0 ? std::optional(total / 8) : std::nullopt;
}

SafetensorsEntry read_entry(const std::string& name, const json::value& value, std::size_t data_at,
                            std::size_t data_bytes, const std::string& file) {
  const json::object* fields = value.if_object();
  if (fields == nullptr) fail(file, name, "is not described by a JSON object");
  SafetensorsEntry entry;
  entry.name = name;
  const json::value* stored = fields->if_contains("dtype");
  if (stored == nullptr || !stored->is_string()) fail(file, name, "has no dtype");
  entry.stored = std::string(stored->get_string());
  const auto* known = std::find_if(kStoredTypes.begin(), kStoredTypes.end(),
                                   [&](const StoredType& type) { return type.name == entry.stored; });
  if (known == kStoredTypes.end()) fail(file, name, "has the unknown dtype '" + entry.stored + "'");
  entry.type = known->type;
  auto shape = whole_numbers(fields->if_contains("shape"));
  if (!shape) fail(file, name, "has no shape of whole numbers");
  entry.shape = std::move(*shape);
  const auto offsets = whole_numbers(fields->if_contains("data_offsets"));
  if (!offsets || offsets->size() != 2) fail(file, name, "has no pair of data_offsets");
  const std::uint64_t begin = (*offsets)[0];
  const std::uint64_t end = (*offsets)[1];
  if (begin > end || end > data_bytes) {
    fail(file, name,
         "has the offsets " + range_text(begin, end) + ", outside the " + std::to_string(data_bytes) +
             " bytes that follow the header");
  }
  const auto bytes = byte_count(entry.shape, known->bits);
  if (!bytes || *bytes != end - begin) {
    fail(file, name,
         "has the shape " + shape_text(entry.shape) + " of " + entry.stored + ", but " + std::to_string(end - begin) +
             " bytes");
  }
  entry.begin = data_at + begin;
  entry.end = data_at + end;
  return entry;
}

/// Tensors must tile [data_at, file_bytes).
void check_tiling(const std::vector<SafetensorsEntry>& entries, std::size_t data_at, std::size_t file_bytes,
                  const std::string& file) {
  std::vector<const SafetensorsEntry*> sorted;
  sorted.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  std::size_t at = data_at;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry* entry : sorted) {
    if (entry->begin < at) fail(file, entry->name, "overlaps tensor '" + previous->name + "'");
    if (entry->begin > at) {
      fail(file, entry->name,
           "leaves " + std::to_string(entry->begin - at) + " bytes before it that belong to no tensor");
    }
    at = entry->end;
    previous = entry;
  }
  if (at != file_bytes) fail(file, std::to_string(file_bytes - at) + " bytes at the end belong to no tensor");
}

}  // namespace

std::string shape_text(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::vector<SafetensorsEntry> read_safetensors_header(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() < kSmallestFile) {
    fail(file, "only " + std::to_string(bytes.size()) + " bytes, too short for a safetensors file");
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  if (length == 0 || length > kLargestHeader) {
    fail(file, "says its header has " + std::to_string(length) + " bytes, not between 1 and " +
                   std::to_string(kLargestHeader));
  }
  if (length > bytes.size() - kLengthBytes) {
    fail(file, "says its header has " + std::to_string(length) + " bytes, but " +
                   std::to_string(bytes.size() - kLengthBytes) + " follow");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  const json::value header = parse_json(text, file + " (header)");
  if (!header.is_object()) fail(file, "the header is not a JSON object");
  const std::size_t data_at = kLengthBytes + length;
  std::vector<SafetensorsEntry> entries;
  for (const auto& [key, value] : header.get_object()) {
    const std::string name(key);
    if (name == "__metadata__") continue;
    entries.push_back(read_entry(name, value, data_at, bytes.size() - data_at, file));
  }
  check_tiling(entries, data_at, bytes.size(), file);
  return entries;
}

}  // namespace stella::weights
