// A checkpoint loaded at encoder level, without tokenizer or engine.
#pragma once

#include "models/encoder.hpp"
#include "support/goldens.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace stella::golden {

weights::ModelSpec read_spec(const std::filesystem::path& checkpoint);
/// model.safetensors, or the shards of its index.
weights::Tensors open_tensors(const std::filesystem::path& checkpoint);

struct Checkpoint {
  std::unique_ptr<const models::Encoder> encoder;
  models::Agreement agreement;                     // with f32 over the calibration's texts; not of an f32 encoder
  std::map<std::size_t, models::DenseHead> heads;  // by dimension
};
/// Loads the encoder at `precision`, calibrated as the engine does it, and every head in 2_Dense_* of the folder.
Checkpoint load(const std::filesystem::path& folder, const kernels::Kernels& kernels, ParallelTeam& team,
                Precision precision = Precision::f32);

/// Pooled vectors of `sequences` as one packed batch.
std::vector<std::vector<float>> pooled(const models::Encoder& encoder,
                                       const std::vector<const std::vector<std::int32_t>*>& sequences,
                                       ParallelTeam& team, models::Activations& scratch);

using Visit = std::function<void(const std::string& key, const std::string& head, std::vector<float> vector)>;
/// Calls visit(key of the case, head, vector) for the pooled vector of each case, whose head is "pooled", and for each
/// head's, by dimension; of a checkpoint without heads the pooled vector counts as the head of its size too. None is
/// normalised.
void for_each_vector(const Checkpoint& checkpoint, const std::vector<test::Goldens::Case>& cases, ParallelTeam& team,
                     const Visit& visit);

/// The folders under test: the tiny ones of tests/data and the demo model.
std::vector<std::filesystem::path> checkpoint_folders();

/// The kernel sets that this machine runs, by name.
std::vector<std::string> kernel_set_names();

/// Kernels at a precision.
struct Arithmetic {
  std::string kernel_set;
  Precision precision = Precision::f32;
};
/// Every one that this machine runs.
std::vector<Arithmetic> arithmetics();
/// For test names: "demo_avx512_int16".
std::string name_of(const std::filesystem::path& checkpoint, const Arithmetic& arithmetic);

}  // namespace stella::golden
