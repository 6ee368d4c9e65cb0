#include "models/part_visitors.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <cstring>

namespace stella::models {
namespace {

/// memcpy of a large block by every worker; most of its time is the disk's.
void parallel_copy(std::byte* to, std::span<const std::byte> from, ParallelTeam& team) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  team.run((from.size() + kPiece - 1) / kPiece, [&](std::size_t task, std::size_t) {
    const std::size_t at = task * kPiece;
    std::memcpy(to + at, from.data() + at, std::min(kPiece, from.size() - at));
  });
}

std::size_t product(std::initializer_list<std::size_t> shape) {
  std::size_t n = 1;
  for (const std::size_t size : shape) n *= size;
  return n;
}

std::size_t rows_of(std::span<const PartVisitor::Rows> tensors) {
  std::size_t n = 0;
  for (const PartVisitor::Rows& tensor : tensors) n += tensor.n;
  return n;
}

}  // namespace

kernels::PackedMatrix PartChecker::matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder /*order*/) {
  for (const Rows& tensor : tensors) source_bytes_ += get(tensor.name, {tensor.n, k}).bytes.size();
  return {};
}

std::vector<float> PartChecker::values(const std::string& name, std::initializer_list<std::size_t> shape) {
  source_bytes_ += get(name, shape).bytes.size();
  return {};
}

Table PartChecker::table(const std::string& name, std::size_t rows, std::size_t n) {
  source_bytes_ += get(name, {rows, n}).bytes.size();
  return {};
}

kernels::PackedMatrix PartSizer::matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder order) {
  matrix_bytes_ += kernels::packed_bytes(kernels_, precision_, order, rows_of(tensors), k);
  return {};
}

std::vector<float> PartSizer::values(const std::string& /*name*/, std::initializer_list<std::size_t> shape) {
  value_bytes_ += product(shape) * sizeof(float);
  return {};
}

Table PartSizer::table(const std::string& name, std::size_t rows, std::size_t n) {
  table_bytes_ += get(name, {rows, n}).bytes.size();
  return {};
}

void Progress::finish(const weights::TensorView& tensor) {
  tensor.drop();
  done_ += tensor.bytes.size();
  if (report_) report_(done_, total_);
}

kernels::PackedMatrix PartPacker::matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder order) {
  std::vector<const weights::TensorView*> views;
  std::vector<kernels::MatrixSource> sources;
  for (const Rows& tensor : tensors) {
    views.push_back(&get(tensor.name, {tensor.n, k}));
    sources.push_back({views.back()->bytes.data(), views.back()->type, tensor.n, k});
  }
  if (order == kernels::RowOrder::interleaved && sources.size() == 1) {
    sources.front().n /= 2;
    sources.push_back(sources.front());
    sources.back().data = views.front()->bytes.data() + views.front()->bytes.size() / 2;
  }
  kernels::PackOptions options;
  if (maxima_ != nullptr) options.column_max = maxima_->of(tensors.front().name);
  kernels::PackedMatrix packed =
      kernels::pack(settings_.kernels, settings_.precision, order, sources, settings_.team, options);
  made(tensors.front().name, packed.serialized());
  for (const weights::TensorView* view : views) progress_.finish(*view);
  return packed;
}

std::vector<float> PartPacker::values(const std::string& name, std::initializer_list<std::size_t> shape) {
  const weights::TensorView& tensor = get(name, shape);
  std::vector<float> values = weights::to_f32(tensor);
  made(name, std::as_bytes(std::span(values)));
  progress_.finish(tensor);
  return values;
}

Table PartPacker::table(const std::string& name, std::size_t rows, std::size_t n) {
  const weights::TensorView& tensor = get(name, {rows, n});
  const std::shared_ptr<std::byte[]> copy(new std::byte[tensor.bytes.size()]);
  parallel_copy(copy.get(), tensor.bytes, settings_.team);
  count(tensor.bytes);
  progress_.finish(tensor);
  return {copy, {copy.get(), tensor.type, rows, n}};
}

void PassingPacker::made(const std::string& name, std::span<const std::byte> bytes) {
  count(bytes);
  if (writer_ != nullptr) writer_->add(stored_name(name), bytes);
}

Table PassingPacker::table(const std::string& name, std::size_t rows, std::size_t n) {
  const weights::TensorView& tensor = get(name, {rows, n});
  count(tensor.bytes);
  if (writer_ != nullptr) {
    writer_->add(stored_name(name), tensor.bytes, PartUse::rows,
                 [&](std::span<const std::byte> piece) { tensor.drop(piece); });
  }
  progress().finish(tensor);
  return {nullptr, {tensor.bytes.data(), tensor.type, rows, n}};
}

void PartMapper::does_not_fit(const std::string& name) const {
  const std::string path = packed_->path().string();
  throw Error(Errc::malformed_file, path + ": '" + name + "' is another model's; remove the file", {.file = path});
}

std::span<const std::byte> PartMapper::part(const std::string& name, std::size_t bytes) const {
  const auto part = packed_->part(stored_name(name));
  if (part.size() != bytes) does_not_fit(name);
  return part;
}

kernels::PackedMatrix PartMapper::matrix(std::span<const Rows> tensors, std::size_t k, kernels::RowOrder /*order*/) {
  const std::string& name = tensors.front().name;
  const std::span<const std::byte> bytes = packed_->part(stored_name(name));
  kernels::PackedMatrix matrix;
  try {
    matrix = kernels::PackedMatrix::from_bytes(kernels_, bytes, packed_);
  } catch (const Error& error) {
    const std::string path = packed_->path().string();
    throw Error(error.errc(), path + ": '" + name + "': " + error.what(), {.file = path});
  }
  if (matrix.n() != rows_of(tensors) || matrix.k() != k || matrix.precision() != precision_) does_not_fit(name);
  mapped_bytes_ += matrix.bytes();
  for (const Rows& tensor : tensors) progress_.finish(get(tensor.name, {tensor.n, k}));
  return matrix;
}

std::vector<float> PartMapper::values(const std::string& name, std::initializer_list<std::size_t> shape) {
  const auto bytes = part(name, product(shape) * sizeof(float));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  copied_bytes_ += bytes.size();
  progress_.finish(get(name, shape));
  return values;
}

Table PartMapper::table(const std::string& name, std::size_t rows, std::size_t n) {
  const weights::TensorView& tensor = get(name, {rows, n});
  const auto bytes = part(name, tensor.bytes.size());
  mapped_bytes_ += bytes.size();
  progress_.finish(tensor);
  return {packed_, {bytes.data(), tensor.type, rows, n}};
}

std::string find_prefix(const weights::Tensors& tensors, const std::string& probe) {
  for (const char* prefix : {"new.", "model.", "bert."}) {
    if (tensors.find(prefix + probe) != nullptr) return prefix;
  }
  return {};
}

}  // namespace stella::models
