// What is done with a model's parts: checked, sized, packed into memory or a file, or mapped.
#pragma once

#include "models/encoder_types.hpp"
#include "models/packed_file.hpp"
#include "models/parts.hpp"

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace stella::models {

/// Looks at a checkpoint's tensors, whose names all begin with `prefix`.
class TensorVisitor : public PartVisitor {
 protected:
  TensorVisitor(const weights::Tensors& tensors, std::string prefix) : tensors_(tensors), prefix_(std::move(prefix)) {}
  /// Throws where it is missing or has another shape.
  const weights::TensorView& get(const std::string& name, std::initializer_list<std::size_t> shape) const {
    return tensors_.get(prefix_ + name, std::span<const std::size_t>(shape.begin(), shape.size()));
  }
  std::string stored_name(const std::string& name) const { return prefix_ + name; }

 private:
  const weights::Tensors& tensors_;
  const std::string prefix_;
};

/// Checks that every tensor is there with its shape, and adds up: a checkpoint that does not fit fails at once.
class PartChecker final : public TensorVisitor {
 public:
  PartChecker(const weights::Tensors& tensors, std::string prefix) : TensorVisitor(tensors, std::move(prefix)) {}
  /// Of the tensors seen so far, as they are stored.
  std::size_t source_bytes() const noexcept { return source_bytes_; }

  kernels::PackedMatrix matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder order) override;
  std::vector<float> values(const std::string& name, std::initializer_list<std::size_t> shape) override;
  Table table(const std::string& name, std::size_t rows, std::size_t n) override;

 private:
  std::size_t source_bytes_ = 0;
};

/// Adds up what the parts will take once they are packed.
class PartSizer final : public TensorVisitor {
 public:
  PartSizer(const weights::Tensors& tensors, std::string prefix, const kernels::Kernels& kernels, Precision precision)
      : TensorVisitor(tensors, std::move(prefix)), kernels_(kernels), precision_(precision) {}
  std::size_t matrix_bytes() const noexcept { return matrix_bytes_; }
  std::size_t value_bytes() const noexcept { return value_bytes_; }
  std::size_t table_bytes() const noexcept { return table_bytes_; }

  kernels::PackedMatrix matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder order) override;
  std::vector<float> values(const std::string& name, std::initializer_list<std::size_t> shape) override;
  Table table(const std::string& name, std::size_t rows, std::size_t n) override;

 private:
  const kernels::Kernels& kernels_;
  const Precision precision_;
  std::size_t matrix_bytes_ = 0;
  std::size_t value_bytes_ = 0;
  std::size_t table_bytes_ = 0;
};

/// Tells how far a load has come, and what it holds by now.
class Progress {
 public:
  Progress(LoadProgress report, std::size_t total) : report_(std::move(report)), total_(total) {}
  /// The tensor has been read, and its pages may go.
  void finish(const weights::TensorView& tensor);

 private:
  const LoadProgress report_;
  const std::size_t total_;
  std::size_t done_ = 0;
};

/// Packs into memory.
class PartPacker : public TensorVisitor {
 public:
  struct Settings {
    const kernels::Kernels& kernels;
    ParallelTeam& team;
    Precision precision = Precision::f32;
  };
  PartPacker(const weights::Tensors& tensors, std::string prefix, const Settings& settings, Progress progress)
      : TensorVisitor(tensors, std::move(prefix)), settings_(settings), progress_(std::move(progress)) {}
  /// Of the parts made so far.
  std::size_t packed_bytes() const noexcept { return packed_bytes_; }
  /// Matrices packed from now on are told their columns with outliers; null: no longer.
  void use(const ColumnMaxima* maxima) noexcept { maxima_ = maxima; }

  kernels::PackedMatrix matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder order) override;
  std::vector<float> values(const std::string& name, std::initializer_list<std::size_t> shape) override;
  Table table(const std::string& name, std::size_t rows, std::size_t n) override;

 protected:
  /// A part was made.
  virtual void made(const std::string& /*name*/, std::span<const std::byte> bytes) { count(bytes); }
  void count(std::span<const std::byte> bytes) noexcept { packed_bytes_ += bytes.size(); }
  Progress& progress() noexcept { return progress_; }

 private:
  const Settings settings_;
  Progress progress_;
  const ColumnMaxima* maxima_ = nullptr;
  std::size_t packed_bytes_ = 0;
};

/// Packs what passes through: it is used or written, and dropped. Tables stay in the checkpoint.
class PassingPacker final : public PartPacker {
 public:
  /// `writer` gets every part; null: nobody keeps them.
  PassingPacker(const weights::Tensors& tensors, std::string prefix, const Settings& settings, Progress progress,
                PackedFileWriter* writer)
      : PartPacker(tensors, std::move(prefix), settings, std::move(progress)), writer_(writer) {}
  Table table(const std::string& name, std::size_t rows, std::size_t n) override;

 private:
  void made(const std::string& name, std::span<const std::byte> bytes) override;

  PackedFileWriter* const writer_;
};

/// Finds the parts in a file of packed weights, which they keep mapped. Throws Error(malformed_file) where it is
/// another model's.
class PartMapper final : public TensorVisitor {
 public:
  PartMapper(const weights::Tensors& tensors, std::string prefix, const kernels::Kernels& kernels, Precision precision,
             std::shared_ptr<const PackedFile> packed, Progress progress)
      : TensorVisitor(tensors, std::move(prefix)),
        kernels_(kernels),
        precision_(precision),
        packed_(std::move(packed)),
        progress_(std::move(progress)) {}
  /// Of the parts found so far: what stays in the file, and what was copied.
  std::size_t mapped_bytes() const noexcept { return mapped_bytes_; }
  std::size_t copied_bytes() const noexcept { return copied_bytes_; }

  kernels::PackedMatrix matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder order) override;
  std::vector<float> values(const std::string& name, std::initializer_list<std::size_t> shape) override;
  Table table(const std::string& name, std::size_t rows, std::size_t n) override;

 private:
  std::span<const std::byte> part(const std::string& name, std::size_t bytes) const;
  [[noreturn]] void does_not_fit(const std::string& name) const;

  const kernels::Kernels& kernels_;
  const Precision precision_;
  const std::shared_ptr<const PackedFile> packed_;
  Progress progress_;
  std::size_t mapped_bytes_ = 0;
  std::size_t copied_bytes_ = 0;
};

/// The prefix ("new.", "model.", "bert." or none) under which the tensor `probe` exists; none where it does not.
std::string find_prefix(const weights::Tensors& tensors, const std::string& probe);

}  // namespace stella::models
