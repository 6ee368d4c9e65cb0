// Named tensors of a checkpoint: a safetensors file, or several behind an index.
#pragma once

#include "base/dtype.hpp"
#include "base/mapped_file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stella::weights {

/// A tensor inside a mapped file. Valid while the Tensors it came from lives.
struct TensorView {
  std::string_view name;
  DType type = DType::f32;
  std::vector<std::size_t> shape;
  std::span<const std::byte> bytes;  // shape's product · size_of(type), row-major
  const MappedFile* file = nullptr;  // where it came from
  /// Lets the pages of this tensor go once it has been packed.
  void drop() const noexcept { drop(bytes); }
  void drop(std::span<const std::byte> part) const noexcept;
};

/// Every tensor of a checkpoint by name. All headers are validated when opened: header length and JSON, dtypes, shapes
/// against byte counts, offsets inside the file and without overlap. Immutable, thread-safe.
class Tensors {
 public:
  /// Opens files of one checkpoint (one model.safetensors, or its shards). Throws Error(malformed_file) naming file and
  /// tensor.
  static Tensors open(std::span<const std::filesystem::path> files);
  Tensors(Tensors&& other) noexcept;
  Tensors& operator=(Tensors&& other) noexcept;
  ~Tensors();

  /// Throws Error(missing_tensor), Error(malformed_file) where the shape differs, or Error(unsupported_model) where it
  /// is stored in a type that holds no weights (integers, F8, …; such tensors are tolerated until asked for). All name
  /// file and tensor. F64 becomes f32 here, at the first call.
  const TensorView& get(const std::string& name, std::span<const std::size_t> shape) const;
  /// nullptr where absent. `LayerNorm.weight` and `.bias` are also found under their names in old files, gamma and
  /// beta. Of a tensor stored as F64 it may be without its bytes.
  const TensorView* find(const std::string& name) const;
  std::vector<std::string> names() const;
  /// As they were given to open().
  const std::vector<std::unique_ptr<const MappedFile>>& files() const noexcept { return files_; }

 private:
  Tensors();
  void add(const MappedFile& file);

  std::vector<std::unique_ptr<const MappedFile>> files_;
  struct Narrowed;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<const TensorView*, std::unique_ptr<Narrowed>> narrowed_;  // those stored as F64
  std::map<std::string, std::string, std::less<>> unreadable_;       // name → why it cannot be read
  std::vector<std::unique_ptr<std::byte[]>> aligned_;  // copies of tensors that lie unaligned in their file
};

/// Shard file names of a model.safetensors.index.json, each once, in order of first use. Throws Error(malformed_file).
std::vector<std::string> shard_names(std::string_view index_json, const std::string& source);

/// A tensor as f32, converted where stored otherwise.
std::vector<float> to_f32(const TensorView& tensor);

}  // namespace stella::weights
