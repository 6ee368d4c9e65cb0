#include "models/loader.hpp"

#include "stella/error.hpp"

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

Loader::Loader(const weights::Tensors& tensors, const LoadContext& context, std::string prefix,
               PackedFileWriter* writer)
    : tensors_(tensors), context_(context), prefix_(std::move(prefix)), passing_(true), writer_(writer) {}

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

void Loader::does_not_fit(const std::string& name) const {
  const std::string path = context_.packed->path().string();
  throw Error(Errc::malformed_file, path + ": '" + name + "' is another model's; remove the file", {.file = path});
}

/// Gives a part that was just made to whoever keeps them; `source` is where it still lies in the checkpoint.
void Loader::keep(const std::string& name, std::span<const std::byte> bytes, PartUse use,
                  const weights::TensorView* source) {
  packed_bytes_ += bytes.size();
  if (writer_ == nullptr) return;
  writer_->add(prefix_ + name, bytes, use, [&](std::span<const std::byte> piece) {
    if (source != nullptr) source->drop(piece);
  });
}

kernels::PackedMatrix Loader::mapped(const std::string& name) const {
  const std::span<const std::byte> part = context_.packed->part(prefix_ + name);
  try {
    return kernels::PackedMatrix::from_bytes(*context_.kernels, part, context_.packed);
  } catch (const Error& error) {
    const std::string path = context_.packed->path().string();
    throw Error(error.errc(), path + ": '" + name + "': " + error.what(), {.file = path});
  }
}

kernels::PackedMatrix Loader::pack(const std::string& name, const std::vector<kernels::MatrixSource>& sources,
                                   kernels::RowOrder order) {
  if (!context_.packed) {
    kernels::PackOptions options;
    if (maxima_ != nullptr) options.column_max = maxima_->of(name);
    kernels::PackedMatrix packed =
        kernels::pack(*context_.kernels, context_.precision, order, sources, *context_.team, options);
    keep(name, packed.serialized(), PartUse::whole);
    return packed;
  }
  kernels::PackedMatrix packed = mapped(name);
  std::size_t n = 0;
  for (const kernels::MatrixSource& source : sources) n += source.n;
  if (packed.n() != n || packed.k() != sources.front().k || packed.precision() != context_.precision) {
    does_not_fit(name);
  }
  packed_bytes_ += packed.bytes();
  return packed;
}

Linear Loader::linear(const std::vector<Part>& parts, std::size_t k, const std::vector<Part>& biases) {
  Linear linear;
  linear.name = parts.front().name;
  std::vector<const weights::TensorView*> tensors;
  std::vector<kernels::MatrixSource> sources;
  for (const Part& part : parts) {
    tensors.push_back(&get(part.name, {part.n, k}));
    sources.push_back(source_of(*tensors.back(), part.n, k));
  }
  if (packing_) {
    linear.weight = pack(linear.name, sources, kernels::RowOrder::plain);
    for (const weights::TensorView* tensor : tensors) finish(*tensor);
  }
  if (!biases.empty()) linear.bias = vector(biases);
  return linear;
}

Linear Loader::up_gate(const std::string& name, std::size_t n, std::size_t k) {
  Linear linear;
  linear.name = name;
  const weights::TensorView& tensor = get(name, {2 * n, k});
  if (!packing_) return linear;
  const kernels::MatrixSource up = source_of(tensor, n, k);
  kernels::MatrixSource gate = up;
  gate.data = tensor.bytes.data() + tensor.bytes.size() / 2;
  linear.weight = pack(name, {up, gate}, kernels::RowOrder::interleaved);
  finish(tensor);
  return linear;
}

Linear Loader::up_gate(const std::string& up, const std::string& gate, std::size_t n, std::size_t k) {
  Linear linear;
  linear.name = up;
  const weights::TensorView& first = get(up, {n, k});
  const weights::TensorView& second = get(gate, {n, k});
  if (!packing_) return linear;
  linear.weight = pack(up, {source_of(first, n, k), source_of(second, n, k)}, kernels::RowOrder::interleaved);
  finish(first);
  finish(second);
  return linear;
}

/// A part of mapped packed weights.
std::span<const std::byte> Loader::packed_part(const std::string& name, std::size_t bytes) {
  const auto part = context_.packed->part(prefix_ + name);
  if (part.size() != bytes) does_not_fit(name);
  packed_bytes_ += bytes;
  return part;
}

std::vector<float> Loader::f32_part(const std::string& name, const weights::TensorView& tensor) {
  if (!context_.packed) {
    std::vector<float> values = weights::to_f32(tensor);
    keep(name, std::as_bytes(std::span(values)), PartUse::whole);
    return values;
  }
  std::size_t n = 1;
  for (const std::size_t size : tensor.shape) n *= size;
  const auto bytes = packed_part(name, n * sizeof(float));
  std::vector<float> values(n);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> Loader::vector(const std::vector<Part>& parts) {
  std::vector<float> values;
  for (const Part& part : parts) {
    const weights::TensorView& tensor = get(part.name, {part.n});
    if (!packing_) continue;
    const std::vector<float> more = f32_part(part.name, tensor);
    values.insert(values.end(), more.begin(), more.end());
    finish(tensor);
  }
  return values;
}

std::vector<float> Loader::dense_rows(const std::string& name, std::size_t rows, std::size_t n) {
  const weights::TensorView& tensor = get(name, {rows, n});
  if (!packing_) return {};
  std::vector<float> values = f32_part(name, tensor);
  finish(tensor);
  return values;
}

Table Loader::table(const std::string& name, std::size_t rows, std::size_t n) {
  const weights::TensorView& tensor = get(name, {rows, n});
  if (!packing_) return {};
  Table table;
  table.rows = source_of(tensor, rows, n);
  if (context_.packed) {
    table.keep = context_.packed;
    table.rows.data = packed_part(name, tensor.bytes.size()).data();
  } else if (passing_) {
    keep(name, tensor.bytes, PartUse::rows, &tensor);
  } else {
    const std::shared_ptr<std::byte[]> copy(new std::byte[tensor.bytes.size()]);
    parallel_copy(copy.get(), tensor.bytes, *context_.team);
    table.keep = copy;
    table.rows.data = copy.get();
    keep(name, {copy.get(), tensor.bytes.size()}, PartUse::rows);
  }
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
