// From named tensors to packed weights.
#pragma once

#include "models/encoder.hpp"
#include "models/packed_file.hpp"

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace stella::models {

/// A matrix and its bias: y = x Wᵀ + b.
struct Linear {
  std::string name;              // of the first tensor in `weight`
  kernels::PackedMatrix weight;  // (n, k)
  std::vector<float> bias;       // (n), or empty
};

struct Norm {
  std::vector<float> gain;   // (hidden)
  std::vector<float> shift;  // (hidden); empty for RMS norms
};

/// An embedding table in its stored type: a copy, or a part of mapped packed weights, so that after loading nothing
/// depends on the checkpoint's files any more. Where parts only pass through it stays in those files.
struct Table {
  std::shared_ptr<const void> keep;  // null where it stays
  kernels::MatrixSource rows;        // (vocab, hidden), in what `keep` keeps
};

/// Reads a model's tensors in two walks over the same calls: the first only checks that each is there with its shape
/// and adds up the bytes, so that a checkpoint that does not fit fails at once; the second, after start_packing(),
/// packs.
class Loader {
 public:
  Loader(const weights::Tensors& tensors, const LoadContext& context, std::string prefix);
  /// Its parts pass through: they are used or written, and dropped.
  Loader(const weights::Tensors& tensors, const LoadContext& context, std::string prefix, PackedFileWriter* writer);

  void start_packing() noexcept { packing_ = true; }

  /// Rows of one tensor or of several, under one another.
  struct Part {
    std::string name;
    std::size_t n;
  };
  /// Matrices (n, k) and their biases, each under one another; no biases: none are added.
  Linear linear(const std::vector<Part>& parts, std::size_t k, const std::vector<Part>& biases);
  /// `name`.weight (n, k) and `name`.bias (n).
  Linear linear(const std::string& name, std::size_t n, std::size_t k) {
    return linear({{name + ".weight", n}}, k, {{name + ".bias", n}});
  }
  /// One tensor (2n, k) whose first half is `up` and whose second is `gate`, interleaved.
  Linear up_gate(const std::string& name, std::size_t n, std::size_t k);
  /// Two tensors (n, k), interleaved.
  Linear up_gate(const std::string& up, const std::string& gate, std::size_t n, std::size_t k);
  /// Tensors of rank one, end to end, as f32.
  std::vector<float> vector(const std::vector<Part>& parts);
  std::vector<float> vector(const std::string& name, std::size_t n) { return vector({{name, n}}); }
  /// A tensor (rows, n) as f32.
  std::vector<float> dense_rows(const std::string& name, std::size_t rows, std::size_t n);
  Table table(const std::string& name, std::size_t rows, std::size_t n);

  Norm norm(const std::string& name, std::size_t n) { return {vector(name + ".weight", n), vector(name + ".bias", n)}; }
  /// Bytes that the packed weights hold, so far.
  std::size_t packed_bytes() const noexcept { return packed_bytes_; }
  const std::string& prefix() const noexcept { return prefix_; }
  /// Matrices packed from now on are told their columns with outliers; null: no longer.
  void use(const ColumnMaxima* maxima) noexcept { maxima_ = maxima; }

 private:
  const weights::TensorView& get(const std::string& name, std::initializer_list<std::size_t> shape);
  void finish(const weights::TensorView& tensor);
  kernels::PackedMatrix pack(const std::string& name, const std::vector<kernels::MatrixSource>& sources,
                             kernels::RowOrder order);
  kernels::PackedMatrix mapped(const std::string& name) const;
  void keep(const std::string& name, std::span<const std::byte> bytes, PartUse use,
            const weights::TensorView* source = nullptr);
  std::span<const std::byte> packed_part(const std::string& name, std::size_t bytes);
  std::vector<float> f32_part(const std::string& name, const weights::TensorView& tensor);
  [[noreturn]] void does_not_fit(const std::string& name) const;

  const weights::Tensors& tensors_;
  const LoadContext& context_;
  std::string prefix_;
  bool passing_ = false;
  PackedFileWriter* writer_ = nullptr;
  const ColumnMaxima* maxima_ = nullptr;
  bool packing_ = false;
  std::size_t total_bytes_ = 0;  // of source tensors
  std::size_t done_bytes_ = 0;
  std::size_t packed_bytes_ = 0;
};

/// The prefix ("new.", "model.", "bert." or none) under which the tensor `probe` exists; none where it does not.
std::string find_prefix(const weights::Tensors& tensors, const std::string& probe);

}  // namespace stella::models
