#include "cli/rows.hpp"

#include "format/json_text.hpp"
#include "format/npy.hpp"

#include <bit>
#include <cmath>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace stella::cli {
namespace {

[[noreturn]] void refuse_not_finite(std::size_t index) {
  throw Failure(kRuntimeFailure, "the vector of text " + std::to_string(index + 1) +
                                     " holds a value that is not finite; check the checkpoint with `stella verify`");
}

static_assert(std::endian::native == std::endian::little, "f32 and npy rows are written as they lie in memory");

std::string json_row(std::size_t index, const Embedding& row, const std::vector<std::string>& names,
                     const std::vector<std::string>& kept) {
  format::JsonText json;
  json.begin_object().member("index", index);
  for (std::size_t i = 0; i < names.size(); ++i) json.key(names[i]).raw(i < kept.size() ? kept[i] : "null");
  json.member("tokens", row.tokens).member("truncated", row.truncated);
  if (row.truncated) json.member("full_tokens", row.full_tokens);
  try {
    if (row.vectors.size() == 1) {
      json.member("dimension", row.vectors[0].first).member("embedding", row.vectors[0].second);
    } else {
      json.key("embeddings").begin_object();
      for (const auto& [dimension, vector] : row.vectors) json.member(std::to_string(dimension), vector);
      json.end_object();
    }
  } catch (const std::domain_error&) {
    refuse_not_finite(index);
  }
  return json.end_object().take();
}

std::vector<std::string> names_of(std::optional<std::string> partial) {
  if (!partial) return {};
  return {*std::move(partial)};
}

class JsonWriter final : public RowWriter {
 public:
  JsonWriter(const RowsHeader& header, std::unique_ptr<Output> output)
      : names_(header.keep), output_(std::move(output)) {
    format::JsonText json;
    json.begin_object().member("model", header.model).member("task", header.task);
    output_->write(json.member("precision", header.precision).key("data").begin_array().take());
  }
  void write(std::size_t index, const Embedding& row, const std::vector<std::string>& kept) override {
    const std::string text = json_row(index, row, names_, kept);
    output_->write(first_ ? "\n" : ",\n");
    output_->write(text);
    first_ = false;
  }
  void flush() override { output_->flush(); }
  void finish() override {
    output_->write(kEnd);
    output_->commit();
  }
  std::vector<std::string> keep_partial() override {
    output_->write(kEnd);
    return names_of(output_->keep_partial());
  }

 private:
  static constexpr std::string_view kEnd = "\n]}\n";
  std::vector<std::string> names_;
  std::unique_ptr<Output> output_;
  bool first_ = true;
};

class JsonLinesWriter final : public RowWriter {
 public:
  JsonLinesWriter(const RowsHeader& header, std::unique_ptr<Output> output)
      : names_(header.keep), output_(std::move(output)) {}
  void write(std::size_t index, const Embedding& row, const std::vector<std::string>& kept) override {
    output_->write(json_row(index, row, names_, kept) + '\n');
  }
  void flush() override { output_->flush(); }
  void finish() override { output_->commit(); }
  std::vector<std::string> keep_partial() override { return names_of(output_->keep_partial()); }

 private:
  std::vector<std::string> names_;
  std::unique_ptr<Output> output_;
};

/// Raw rows, one output for each dimension; with `npy`, each behind a header that finish() completes.
class BinaryWriter final : public RowWriter {
 public:
  BinaryWriter(const RowsHeader& header, std::vector<std::unique_ptr<Output>> outputs, bool npy)
      : dimensions_(header.dimensions), npy_(npy), outputs_(std::move(outputs)) {
    for (std::size_t i = 0; npy_ && i < outputs_.size(); ++i) outputs_[i]->write(format::npy_header(0, dimensions_[i]));
  }

  void write(std::size_t index, const Embedding& row, const std::vector<std::string>&) override {
    for (const auto& [dimension, vector] : row.vectors) {
      for (const float value : vector) {
        if (!std::isfinite(value)) refuse_not_finite(index);
      }
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const std::vector<float>& vector = row.vectors.at(i).second;
      outputs_[i]->write({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
    }
    ++rows_;
  }
  void flush() override {
    for (const auto& output : outputs_) output->flush();
  }
  void finish() override {
    complete_headers();
    for (const auto& output : outputs_) output->commit();
  }
  std::vector<std::string> keep_partial() override {
    complete_headers();
    std::vector<std::string> names;
    for (const auto& output : outputs_) {
      if (auto name = output->keep_partial()) names.push_back(*std::move(name));
    }
    return names;
  }

 private:
  void complete_headers() {
    for (std::size_t i = 0; npy_ && i < outputs_.size(); ++i)
      outputs_[i]->patch(0, format::npy_header(rows_, dimensions_[i]));
  }

  std::vector<std::size_t> dimensions_;
  bool npy_;
  std::size_t rows_ = 0;
  std::vector<std::unique_ptr<Output>> outputs_;
};

}  // namespace

std::optional<RowFormat> format_of_name(const std::string& path) {
  const std::string extension = lower_extension(path);
  if (extension == ".npy") return RowFormat::npy;
  if (extension == ".jsonl" || extension == ".ndjson") return RowFormat::jsonl;
  if (extension == ".json") return RowFormat::json;
  if (extension == ".f32" || extension == ".bin") return RowFormat::f32;
  return std::nullopt;
}

std::vector<std::string> row_paths(RowFormat format, const std::string& output,
                                   const std::vector<std::size_t>& dimensions) {
  const bool one = format == RowFormat::json || format == RowFormat::jsonl || dimensions.size() <= 1;
  if (one) return {output};
  std::vector<std::string> paths;
  for (const std::size_t dimension : dimensions) paths.push_back(path_for_dimension(output, dimension));
  return paths;
}

std::vector<std::unique_ptr<Output>> open_rows(RowFormat format, const std::vector<std::string>& paths,
                                               const WaitFunction& wait) {
  std::vector<std::unique_ptr<Output>> outputs;
  for (const std::string& path : paths) {
    outputs.push_back(std::make_unique<Output>(path, wait));
    if (format == RowFormat::npy && !outputs.back()->regular()) {
      throw Failure(kBadInput, "--format npy needs a regular file, which '" + path + "' is not; use --format f32");
    }
  }
  return outputs;
}

std::unique_ptr<RowWriter> make_row_writer(RowFormat format, const RowsHeader& header,
                                           std::vector<std::unique_ptr<Output>> outputs) {
  switch (format) {
    case RowFormat::json:
      return std::make_unique<JsonWriter>(header, std::move(outputs.at(0)));
    case RowFormat::jsonl:
      return std::make_unique<JsonLinesWriter>(header, std::move(outputs.at(0)));
    default:
      return std::make_unique<BinaryWriter>(header, std::move(outputs), format == RowFormat::npy);
  }
}

}  // namespace stella::cli
