// From named tensors to packed weights.
#pragma once

#include "models/encoder.hpp"

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace stella::models {

/// A matrix and its bias: y = x Wᵀ + b.
struct Linear {
  kernels::PackedMatrix weight;  // (n, k)
  std::vector<float> bias;       // (n), or empty
};

struct Norm {
  std::vector<float> gain;   // (hidden)
  std::vector<float> shift;  // (hidden); empty for RMS norms
};

/// An embedding table in its stored type. It owns a copy, so that after loading nothing depends on the files any more.
struct Table {
  std::unique_ptr<std::byte[]> bytes;
  kernels::MatrixSource rows;  // (vocab, hidden), into bytes
};

/// Reads a model's tensors in two walks over the same calls: the first only checks that each is there with its shape
/// and adds up the bytes, so that a checkpoint that does not fit fails at once; the second, after start_packing(),
/// packs.
class Loader {
 public:
  Loader(const weights::Tensors& tensors, const LoadContext& context, std::string prefix);

  void start_packing() noexcept { packing_ = true; }

  /// Rows of one tensor or of several, under one another.
  struct Part {
    std::string name;
    std::size_t n;
  };
  kernels::PackedMatrix matrix(const std::vector<Part>& parts, std::size_t k,
                               kernels::RowOrder order = kernels::RowOrder::plain);
  /// One tensor (2n, k) whose first half is `up` and whose second is `gate`, interleaved.
  kernels::PackedMatrix up_gate(const std::string& name, std::size_t n, std::size_t k);
  /// Tensors of rank one, end to end, as f32.
  std::vector<float> vector(const std::vector<Part>& parts);
  std::vector<float> vector(const std::string& name, std::size_t n) { return vector({{name, n}}); }
  /// A tensor (rows, n) as f32.
  std::vector<float> dense_rows(const std::string& name, std::size_t rows, std::size_t n);
  Table table(const std::string& name, std::size_t rows, std::size_t n);

  Norm norm(const std::string& name, std::size_t n) { return {vector(name + ".weight", n), vector(name + ".bias", n)}; }
  /// `name`.weight (n, k) and `name`.bias (n).
  Linear linear(const std::string& name, std::size_t n, std::size_t k) {
    return {matrix({{name + ".weight", n}}, k), vector(name + ".bias", n)};
  }

  /// Bytes that the packed weights hold, so far.
  std::size_t packed_bytes() const noexcept { return packed_bytes_; }

 private:
  const weights::TensorView& get(const std::string& name, std::initializer_list<std::size_t> shape);
  void finish(const weights::TensorView& tensor);
  kernels::PackedMatrix pack(const std::vector<kernels::MatrixSource>& sources, kernels::RowOrder order);

  const weights::Tensors& tensors_;
  const LoadContext& context_;
  std::string prefix_;
  bool packing_ = false;
  std::size_t total_bytes_ = 0;  // of source tensors
  std::size_t done_bytes_ = 0;
  std::size_t packed_bytes_ = 0;
};

/// The prefix ("new.", "model.", "bert." or none) under which the tensor `probe` exists; none where it does not.
std::string find_prefix(const weights::Tensors& tensors, const std::string& probe);

}  // namespace stella::models
