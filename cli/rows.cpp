#include "cli/rows.hpp"

#include "cli/output.hpp"
#include "cli/text.hpp"

#include <bit>
#include <cmath>
#include <stdexcept>
#include <string_view>

namespace stella::cli {
namespace {

[[noreturn]] void refuse_not_finite(std::size_t index) {
  throw Failure(kRuntimeFailure, "the vector of text " + std::to_string(index + 1) +
                                     " holds a value that is not finite; check the checkpoint with `stella verify`");
}

static_assert(std::endian::native == std::endian::little, "f32 and npy rows are written as they lie in memory");

std::string json_row(std::size_t index, const Embedding& row) {
  std::string out = "{\"index\":" + std::to_string(index) + ",\"tokens\":" + std::to_string(row.tokens) +
                    ",\"truncated\":" + (row.truncated ? "true" : "false");
  try {
    if (row.vectors.size() == 1) {
      out += ",\"dimension\":" + std::to_string(row.vectors[0].first) + ",\"embedding\":";
      append_floats(out, row.vectors[0].second);
    } else {
      out += ",\"embeddings\":{";
      for (std::size_t i = 0; i < row.vectors.size(); ++i) {
        out += (i == 0 ? "\"" : ",\"") + std::to_string(row.vectors[i].first) + "\":";
        append_floats(out, row.vectors[i].second);
      }
      out += '}';
    }
  } catch (const std::domain_error&) {
    refuse_not_finite(index);
  }
  return out + '}';
}

class JsonWriter final : public RowWriter {
 public:
  JsonWriter(const RowsHeader& header, const std::string& path, const WaitFunction& wait) : output_(path, wait) {
    output_.write("{\"model\":" + json_string(header.model) +
                  ",\"task\":" + (header.task ? json_string(*header.task) : "null") +
                  ",\"precision\":" + json_string(header.precision) + ",\"data\":[");
  }
  void write(std::size_t index, const Embedding& row) override {
    output_.write((first_ ? "\n" : ",\n") + json_row(index, row));
    first_ = false;
  }
  void flush() override { output_.flush(); }
  void finish() override {
    output_.write("\n]}\n");
    output_.commit();
  }

 private:
  Output output_;
  bool first_ = true;
};

class JsonLinesWriter final : public RowWriter {
 public:
  JsonLinesWriter(const std::string& path, const WaitFunction& wait) : output_(path, wait) {}
  void write(std::size_t index, const Embedding& row) override { output_.write(json_row(index, row) + '\n'); }
  void flush() override { output_.flush(); }
  void finish() override { output_.commit(); }

 private:
  Output output_;
};

/// Raw rows, one output for each dimension; with `npy`, each behind a header that finish() completes.
class BinaryWriter final : public RowWriter {
 public:
  BinaryWriter(const RowsHeader& header, const std::string& path, bool npy, const WaitFunction& wait)
      : dimensions_(header.dimensions), npy_(npy) {
    for (const std::size_t dimension : dimensions_) {
      const std::string own_path = dimensions_.size() == 1 ? path : path_for_dimension(path, dimension);
      outputs_.push_back(std::make_unique<Output>(own_path, wait));
      if (!npy_) continue;
      if (!outputs_.back()->regular()) {
        throw Failure(kBadInput,
                      "--format npy needs a regular file, which '" + own_path + "' is not; use --format f32");
      }
      outputs_.back()->write(npy_header(0, dimension));
    }
  }

  void write(std::size_t index, const Embedding& row) override {
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const std::vector<float>& vector = row.vectors.at(i).second;
      for (const float value : vector) {
        if (!std::isfinite(value)) refuse_not_finite(index);
      }
      outputs_[i]->write({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
    }
    ++rows_;
  }
  void flush() override {
    for (const auto& output : outputs_) output->flush();
  }
  void finish() override {
    for (std::size_t i = 0; npy_ && i < outputs_.size(); ++i) outputs_[i]->patch(0, npy_header(rows_, dimensions_[i]));
    for (const auto& output : outputs_) output->commit();
  }

 private:
  std::vector<std::size_t> dimensions_;
  bool npy_;
  std::size_t rows_ = 0;
  std::vector<std::unique_ptr<Output>> outputs_{};
};

}  // namespace

std::string npy_header(std::size_t rows, std::size_t columns) {
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(kNpyHeaderBytes - 10);
  header += '\0';
  header += "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
            std::to_string(columns) + "), }";
  header.resize(kNpyHeaderBytes - 1, ' ');
  return header + '\n';
}

std::unique_ptr<RowWriter> make_row_writer(RowFormat format, const RowsHeader& header, const std::string& output,
                                           const WaitFunction& wait) {
  switch (format) {
    case RowFormat::json:
      return std::make_unique<JsonWriter>(header, output, wait);
    case RowFormat::jsonl:
      return std::make_unique<JsonLinesWriter>(output, wait);
    default:
      return std::make_unique<BinaryWriter>(header, output, format == RowFormat::npy, wait);
  }
}

}  // namespace stella::cli
