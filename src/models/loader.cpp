#include "models/loader.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

namespace stella::models {
namespace {

kernels::MatrixSource source_of(const weights::TensorView& tensor, std::size_t n, std::size_t k) {
  return {tensor.bytes.data(), tensor.type, n, k};
}

/// memcpy of a large block by every worker; most of its time is the disk's.
void parallel_copy(std::byte* to, std::span<const std::byte> from, ParallelTeam& team) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  team.run((from.size() + kPiece - 1) / kPiece, [&](std::size_t task, std::size_t) {
    const std::size_t at = task * kPiece;
    std::memcpy(to + at, from.data() + at, std::min(kPiece, from.size() - at));
  });
}

}  // namespace

Loader::Loader(const weights::Tensors& tensors, const LoadContext& context, std::string prefix)
    : tensors_(tensors), context_(context), prefix_(std::move(prefix)) {}

const weights::TensorView& Loader::get(const std::string& name, std::initializer_list<std::size_t> shape) {
  const weights::TensorView& tensor =
      tensors_.get(prefix_ + name, std::span<const std::size_t>(shape.begin(), shape.size()));
  if (!packing_) total_bytes_ += tensor.bytes.size();
  return tensor;
}

void Loader::finish(const weights::TensorView& tensor) {
  tensor.drop();
  done_bytes_ += tensor.bytes.size();
  if (context_.on_progress) context_.on_progress(done_bytes_, total_bytes_);
}

kernels::PackedMatrix Loader::pack(const std::vector<kernels::MatrixSource>& sources, kernels::RowOrder order) {
  kernels::PackedMatrix packed = kernels::pack(*context_.kernels, context_.precision, order, sources, *context_.team);
  packed_bytes_ += packed.bytes();
  return packed;
}

kernels::PackedMatrix Loader::matrix(const std::vector<Part>& parts, std::size_t k, kernels::RowOrder order) {
  std::vector<const weights::TensorView*> tensors;
  std::vector<kernels::MatrixSource> sources;
  for (const Part& part : parts) {
    tensors.push_back(&get(part.name, {part.n, k}));
    sources.push_back(source_of(*tensors.back(), part.n, k));
  }
  if (!packing_) return {};
  kernels::PackedMatrix packed = pack(sources, order);
  for (const weights::TensorView* tensor : tensors) finish(*tensor);
  return packed;
}

kernels::PackedMatrix Loader::up_gate(const std::string& name, std::size_t n, std::size_t k) {
  const weights::TensorView& tensor = get(name, {2 * n, k});
  if (!packing_) return {};
  const kernels::MatrixSource up = source_of(tensor, n, k);
  kernels::MatrixSource gate = up;
  gate.data = tensor.bytes.data() + tensor.bytes.size() / 2;
  kernels::PackedMatrix packed = pack({up, gate}, kernels::RowOrder::interleaved);
  finish(tensor);
  return packed;
}

std::vector<float> Loader::vector(const std::vector<Part>& parts) {
  std::vector<float> values;
  for (const Part& part : parts) {
    const weights::TensorView& tensor = get(part.name, {part.n});
    if (!packing_) continue;
    const std::vector<float> more = weights::to_f32(tensor);
    values.insert(values.end(), more.begin(), more.end());
    finish(tensor);
  }
  packed_bytes_ += values.size() * sizeof(float);
  return values;
}

std::vector<float> Loader::dense_rows(const std::string& name, std::size_t rows, std::size_t n) {
  const weights::TensorView& tensor = get(name, {rows, n});
  if (!packing_) return {};
  std::vector<float> values = weights::to_f32(tensor);
  packed_bytes_ += values.size() * sizeof(float);
  finish(tensor);
  return values;
}

Table Loader::table(const std::string& name, std::size_t rows, std::size_t n) {
  const weights::TensorView& tensor = get(name, {rows, n});
  if (!packing_) return {};
  Table table;
  table.bytes = std::make_unique_for_overwrite<std::byte[]>(tensor.bytes.size());
  parallel_copy(table.bytes.get(), tensor.bytes, *context_.team);
  table.rows = source_of(tensor, rows, n);
  table.rows.data = table.bytes.get();
  packed_bytes_ += tensor.bytes.size();
  finish(tensor);
  return table;
}

std::string find_prefix(const weights::Tensors& tensors, const std::string& probe) {
  for (const char* prefix : {"new.", "model.", "bert."}) {
    if (tensors.find(prefix + probe) != nullptr) return prefix;
  }
  return {};
}

}  // namespace stella::models
