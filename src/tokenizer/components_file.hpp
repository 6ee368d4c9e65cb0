// The normalizer, the pre-tokenizer and the decoder of a tokenizer.json.
#pragma once

#include "tokenizer/decoder.hpp"
#include "tokenizer/file_fields.hpp"
#include "tokenizer/normalizer.hpp"
#include "tokenizer/splitter.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

/// Reads components and appends what they are made of.
class ComponentReader {
 public:
  ComponentReader(const FileFields& fields, std::vector<Normalizer>& normalizers, std::vector<Splitter>& splitters)
      : fields_(fields), normalizers_(normalizers), splitters_(splitters) {}

  void read_normalizer(const FileFields::object& normalizer);
  /// Whether the words are spelled in bytes.
  bool read_pre_tokenizer(const FileFields::object& pre_tokenizer);
  /// Appends to `decoders`.
  void read_decoder(const FileFields::object& decoder, std::vector<Decoder>& decoders);

 private:
  using object = FileFields::object;

  void read_bert_normalizer(const object& normalizer);
  Decoder make_decoder(std::string_view type, const object& decoder) const;
  void read_step(const object& step);
  void read_byte_level(const object& step);
  void read_split(const object& step);
  /// The pattern of a Replace or Split at `path`.
  Pattern read_pattern(const object& component, const std::string& path) const;
  MatchBehavior behavior(std::string_view name, const std::string& component) const;

  const FileFields& fields_;
  std::vector<Normalizer>& normalizers_;
  std::vector<Splitter>& splitters_;
  std::size_t normalizers_read_ = 0;     // sequences included
  std::size_t pre_tokenizers_read_ = 0;  // the same
  std::size_t decoders_read_ = 0;        // the same
  bool byte_level_ = false;
};

}  // namespace stella::tokenizer
