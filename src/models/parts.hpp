// What an encoder is made of, and what can be done with it: an encoder's walk visits its parts in order, and a visitor
// checks, sizes, packs or maps them (part_visitors.hpp).
#pragma once

#include "kernels/kernels.hpp"

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

/// Visits a model's parts. A visitor that makes nothing of them returns empty ones. Throws where a part is not as the
/// walk says.
class PartVisitor {
 public:
  /// Rows of one tensor or of several, under one another.
  struct Rows {
    std::string name;
    std::size_t n;
  };

  virtual ~PartVisitor() = default;
  PartVisitor(const PartVisitor&) = delete;
  PartVisitor& operator=(const PartVisitor&) = delete;

  /// Tensors (n, k) as one matrix. Interleaved are two tensors of equal height, or the halves of one: first up, then
  /// gate.
  virtual kernels::PackedMatrix matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder order) = 0;
  /// A tensor as f32.
  virtual std::vector<float> values(const std::string& name, std::initializer_list<std::size_t> shape) = 0;
  virtual Table table(const std::string& name, std::size_t rows, std::size_t n) = 0;

  /// Matrices (n, k) and their biases, each under one another; no biases: none are added.
  Linear linear(const std::vector<Rows>& tensors, std::size_t k, const std::vector<Rows>& biases);
  /// `name`.weight (n, k) and `name`.bias (n).
  Linear linear(const std::string& name, std::size_t n, std::size_t k);
  /// `name`.weight (n, k) alone.
  Linear linear_without_bias(const std::string& name, std::size_t n, std::size_t k);
  /// One tensor (2n, k) whose first half is `up` and whose second is `gate`.
  Linear up_gate(const std::string& name, std::size_t n, std::size_t k);
  /// Two tensors (n, k).
  Linear up_gate(const std::string& up, const std::string& gate, std::size_t n, std::size_t k);
  /// `name`.weight and `name`.bias (n).
  Norm norm(const std::string& name, std::size_t n);

 protected:
  PartVisitor() = default;
};

}  // namespace stella::models
