#include "checkpoint.hpp"

#include "base/mapped_file.hpp"
#include "engine/precision.hpp"
#include "stella/error.hpp"
#include "tokenizer/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace stella::golden {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> optional_file(const fs::path& path) {
  return fs::exists(path) ? std::optional(read_text_file(path)) : std::nullopt;
}

}  // namespace

weights::ModelSpec read_spec(const fs::path& checkpoint) {
  weights::SpecFiles files;
  files.source = checkpoint.string();
  files.config_json = read_text_file(checkpoint / "config.json");
  files.modules_json = optional_file(checkpoint / "modules.json");
  files.pooling_json = optional_file(checkpoint / "1_Pooling/config.json");
  files.sentence_transformers_json = optional_file(checkpoint / "config_sentence_transformers.json");
  files.sentence_bert_json = optional_file(checkpoint / "sentence_bert_config.json");
  return weights::parse_model_spec(files);
}

weights::Tensors open_tensors(const fs::path& checkpoint) {
  const fs::path index = checkpoint / "model.safetensors.index.json";
  if (!fs::exists(index)) return weights::Tensors::open(std::array{checkpoint / "model.safetensors"});
  std::vector<fs::path> shards;
  for (const std::string& name : weights::shard_names(read_text_file(index), index.string())) {
    shards.push_back(checkpoint / name);
  }
  return weights::Tensors::open(shards);
}

Checkpoint load(const fs::path& folder, const kernels::Kernels& kernels, ParallelTeam& team, Precision precision) {
  models::LoadContext context;
  context.kernels = &kernels;
  context.precision = precision;
  context.team = &team;
  engine::CalibrationTexts texts;
  models::Calibration calibration;
  if (precision != Precision::f32) {
    texts = engine::calibration_texts(tokenizer::Tokenizer::from_file(folder / "tokenizer.json"));
    calibration.ids = texts.ids;
    calibration.offsets = texts.offsets;
    context.calibration = &calibration;
  }
  Checkpoint checkpoint;
  checkpoint.encoder = models::make_encoder(read_spec(folder).encoder, open_tensors(folder), context);
  checkpoint.agreement = calibration.agreement;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("2_Dense_")) continue;
    const weights::HeadSpec spec =
        weights::parse_head_spec(read_text_file(entry.path() / "config.json"), name, folder.string());
    const auto tensors = weights::Tensors::open(std::array{entry.path() / "model.safetensors"});
    checkpoint.heads.emplace(spec.out, models::DenseHead(spec, tensors, context));
  }
  return checkpoint;
}

std::vector<std::vector<float>> pooled(const models::Encoder& encoder,
                                       const std::vector<const std::vector<std::int32_t>*>& sequences,
                                       ParallelTeam& team, models::Activations& scratch) {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> offsets = {0};
  for (const std::vector<std::int32_t>* sequence : sequences) {
    ids.insert(ids.end(), sequence->begin(), sequence->end());
    offsets.push_back(static_cast<std::int32_t>(ids.size()));
  }
  std::vector<float> rows(sequences.size() * encoder.hidden());
  encoder.forward({ids, offsets}, rows.data(), team, scratch);
  std::vector<std::vector<float>> result;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const auto row = rows.begin() + static_cast<std::ptrdiff_t>(s * encoder.hidden());
    result.emplace_back(row, row + static_cast<std::ptrdiff_t>(encoder.hidden()));
  }
  return result;
}

void for_each_vector(const Checkpoint& checkpoint, const std::vector<test::Goldens::Case>& cases, ParallelTeam& team,
                     const Visit& visit) {
  models::Activations scratch;
  constexpr std::size_t kBatch = 16;
  for (std::size_t first = 0; first < cases.size(); first += kBatch) {
    const std::size_t count = std::min(kBatch, cases.size() - first);
    std::vector<const std::vector<std::int32_t>*> sequences;
    for (std::size_t i = 0; i < count; ++i) sequences.push_back(&cases[first + i].ids);
    const auto vectors = pooled(*checkpoint.encoder, sequences, team, scratch);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string key = cases[first + i].key();
      visit(key, "pooled", vectors[i]);
      if (checkpoint.heads.empty()) visit(key, std::to_string(vectors[i].size()), vectors[i]);
      for (const auto& [dimension, head] : checkpoint.heads) {
        std::vector<float> row(dimension);
        head.forward(vectors[i].data(), 1, row.data(), team, scratch.workspace);
        visit(key, std::to_string(dimension), std::move(row));
      }
    }
  }
}

std::vector<fs::path> checkpoint_folders() {
  std::vector<fs::path> folders = {fs::path(STELLA_SOURCE_DIR) / "models/stella-demo"};
  for (const char* name : {"stella-small-tiny", "stella-small-tiny-bf16", "stella-small-tiny-f16", "stella-large-tiny",
                           "stella-large-tiny-bf16", "stella-large-tiny-f16", "gte-tiny", "bert-tiny"}) {
    folders.push_back(fs::path(STELLA_TEST_DATA) / "checkpoints" / name);
  }
  return folders;
}

std::vector<std::string> kernel_set_names() {
  std::vector<std::string> names;
  for (const KernelSet set : {KernelSet::portable, KernelSet::avx2, KernelSet::avx512}) {
    try {
      kernels::select(set);
      names.emplace_back(to_string(set));
    } catch (const Error& error) {
      if (error.errc() != Errc::unsupported_processor) throw;
    }
  }
  return names;
}

std::vector<Arithmetic> arithmetics() {
  std::vector<Arithmetic> all;
  for (const std::string& set : kernel_set_names()) {
    const kernels::Kernels& kernels = kernels::select(parse_kernel_set(set));
    for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
      if (kernels::supports(kernels, precision)) all.push_back({set, precision});
    }
  }
  return all;
}

std::string name_of(const fs::path& checkpoint, const Arithmetic& arithmetic) {
  std::string name =
      checkpoint.filename().string() + "_" + arithmetic.kernel_set + "_" + to_string(arithmetic.precision);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace stella::golden
