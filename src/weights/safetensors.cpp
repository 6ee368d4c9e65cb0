#include "weights/safetensors.hpp"

#include "base/json.hpp"
#include "base/lfs.hpp"
#include "stella/error.hpp"
#include "weights/json_reader.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace stella::weights {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kSmallestFile = 20;
constexpr std::uint64_t kLargestHeader = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxRank = 64;                   // PyTorch's

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

[[noreturn]] void exceed(const std::string& file, const std::string& what) {
  throw Error(Errc::limit_exceeded, file + ": " + what, {.file = file});
}

/// One entry as the header has it.
struct RawEntry {
  std::string name{};
  bool is_object = false;
  std::optional<std::string> dtype{};
  std::optional<std::vector<std::size_t>> shape{};    // nothing where it is no array of whole numbers
  std::optional<std::vector<std::size_t>> offsets{};  // as above
};

/// Collects the entries while the header is parsed, without a tree of all its values.
struct HeaderHandler {
  // NOLINTBEGIN(readability-identifier-naming): the parser asks for these names
  static constexpr std::size_t max_object_size = SIZE_MAX;
  static constexpr std::size_t max_array_size = SIZE_MAX;
  static constexpr std::size_t max_key_size = SIZE_MAX;
  static constexpr std::size_t max_string_size = SIZE_MAX;
  // NOLINTEND(readability-identifier-naming)
  using Code = boost::system::error_code;

  std::vector<RawEntry> entries;
  bool is_object = false;
  bool too_many = false;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) {
    if (depth_ == 0) is_object = true;
    if (depth_ == 1 && !skips_) entries.back().is_object = true;
    if (depth_ >= 2) spoil();
    ++depth_;
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    --depth_;
    return true;
  }
  bool on_array_begin(Code&) {
    if (depth_ == 2) {
      list_ = list_of_key();
      if (list_ != nullptr) list_->emplace();
    } else {
      spoil();
    }
    ++depth_;
    return true;
  }
  bool on_array_end(std::size_t, Code&) {
    --depth_;
    if (depth_ == 2) list_ = nullptr;
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, Code&) {
    if (depth_ <= 2) key_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Code& error) {
    if (depth_ > 2) return true;
    field_ = std::exchange(key_, {}).append(part.data(), part.size());
    if (depth_ != 1) return true;
    skips_ = field_ == "__metadata__";
    if (skips_) return true;
    if (entries.size() == kMaxTensors) {
      too_many = true;
      error = json::error::syntax;
      return false;
    }
    entries.push_back({.name = field_});
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, Code&) {
    if (is_dtype()) text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, std::size_t, Code&) {
    if (is_dtype()) entries.back().dtype = std::exchange(text_, {}).append(part.data(), part.size());
    spoil();
    return true;
  }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t value, json::string_view, Code&) {
    value < 0 ? spoil() : add(static_cast<std::size_t>(value));
    return true;
  }
  bool on_uint64(std::uint64_t value, json::string_view, Code&) {
    add(value);
    return true;
  }
  bool on_double(double, json::string_view, Code&) { return spoil(), true; }
  bool on_bool(bool, Code&) { return spoil(), true; }
  bool on_null(Code&) { return spoil(), true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }

 private:
  using List = std::optional<std::vector<std::size_t>>;

  bool is_dtype() const { return depth_ == 2 && !skips_ && field_ == "dtype"; }
  List* list_of_key() {
    if (skips_) return nullptr;
    return field_ == "shape" ? &entries.back().shape : field_ == "data_offsets" ? &entries.back().offsets : nullptr;
  }
  /// The list that is being read holds something that is no whole number, or more than any tensor has.
  void spoil() {
    if (list_ != nullptr) list_->reset();
    list_ = nullptr;
  }
  void add(std::size_t value) {
    if (list_ == nullptr) return;
    if ((*list_)->size() == kMaxRank) return spoil();
    (*list_)->push_back(value);
  }

  std::size_t depth_ = 0;
  bool skips_ = true;  // outside of an entry
  std::string key_;    // as far as it has come
  std::string field_;  // the last key of depth 1 or 2
  std::string text_;
  List* list_ = nullptr;  // being read
};

/// Gives what was collected also where the text has an error, and how far it was read.
boost::system::error_code scan_header(std::string_view text, HeaderHandler& collected, std::size_t& read) {
  json::basic_parser<HeaderHandler> parser(json::parse_options{});
  boost::system::error_code error;
  read = parser.write_some(false, text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  collected = std::move(parser.handler());
  return error;
}

std::vector<RawEntry> parse_header(std::string_view text, const std::string& file) {
  HeaderHandler header;
  std::size_t read = 0;
  const boost::system::error_code error = scan_header(text, header, read);
  if (header.too_many)
    exceed(file, "describes more than the " + std::to_string(kMaxTensors) + " tensors that are read");
  if (error) {
    throw Error(Errc::malformed_file,
                file + " (header): not valid JSON at " + json_place(text, read) + ": " + error.message(),
                {.file = file});
  }
  if (!header.is_object) fail(file, "the header is not a JSON object");
  return std::move(header.entries);
}

/// Throws where two entries have one name: which of them is meant?
void check_names(const std::vector<RawEntry>& entries, const std::string& file) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const RawEntry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return;
  throw Error(Errc::malformed_file, file + " (header): key '" + std::string(*twice) + "' appears twice",
              {.file = file});
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

SafetensorsEntry read_entry(RawEntry raw, std::size_t data_at, std::size_t data_bytes, const std::string& file) {
  const std::string& name = raw.name;
  if (!raw.is_object) fail(file, name, "is not described by a JSON object");
  if (!raw.dtype) fail(file, name, "has no dtype");
  SafetensorsEntry entry;
  entry.stored = *std::move(raw.dtype);
  const auto* known = std::find_if(kStoredTypes.begin(), kStoredTypes.end(),
                                   [&](const StoredType& type) { return type.name == entry.stored; });
  if (known == kStoredTypes.end()) fail(file, name, "has the unknown dtype '" + entry.stored + "'");
  entry.type = known->type;
  if (!raw.shape) fail(file, name, "has no shape of whole numbers");
  entry.shape = *std::move(raw.shape);
  const auto& offsets = raw.offsets;
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
  entry.name = std::move(raw.name);
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
  const std::string_view whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  refuse_lfs_pointer(whole, file);
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
  if (length > kMaxHeaderBytes) {
    exceed(file, "its header has " + std::to_string(length) + " bytes, more than the " +
                     std::to_string(kMaxHeaderBytes) + " that are read");
  }
  std::vector<RawEntry> raw = parse_header(whole.substr(kLengthBytes, length), file);
  check_names(raw, file);
  const std::size_t data_at = kLengthBytes + length;
  std::vector<SafetensorsEntry> entries;
  entries.reserve(raw.size());
  for (RawEntry& entry : raw) {
    entries.push_back(read_entry(std::move(entry), data_at, bytes.size() - data_at, file));
  }
  check_tiling(entries, data_at, bytes.size(), file);
  return entries;
}

}  // namespace stella::weights
