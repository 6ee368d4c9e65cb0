// What a checkpoint's JSON files say about the model, checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stella::weights {

enum class Architecture : std::uint8_t { new_model, qwen2, bert };

/// An encoder's sizes, all from config.json.
struct EncoderSpec {
  Architecture architecture = Architecture::new_model;
  std::string model_type;  // as written
  std::size_t vocab_size = 0;
  std::size_t hidden = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;  // = heads without grouped queries
  std::size_t head_dim = 0;
  std::size_t intermediate = 0;
  std::size_t max_positions = 0;
  std::size_t type_vocab_size = 0;
  float norm_eps = 1e-12F;
  double rope_theta = 10000;
  double rope_ntk_factor = 1;  // 1: no scaling
  bool packed_qkv = true;      // "new": one qkv_proj tensor
};

/// One trained Matryoshka head: y = W x + b, W (out, in).
struct HeadSpec {
  std::size_t in = 0;
  std::size_t out = 0;
  bool bias = true;
  std::string folder;  // "2_Dense_1024"
};

/// Everything but tensors and vocabulary.
struct ModelSpec {
  EncoderSpec encoder;
  std::optional<std::size_t> modules_head;         // size of the head that modules.json names
  std::optional<std::string> modules_head_folder;  // its folder
  bool normalize_module = false;                   // modules.json lists 2_Normalize
  std::map<std::string, std::string> prompts;      // config_sentence_transformers.json
  std::optional<std::string> default_prompt_name;
  /// sentence_bert_config.json's max_seq_length, else tokenizer_config.json's model_max_length.
  std::optional<std::size_t> max_seq_length;
  bool lower_case = false;  // sentence_bert_config.json's do_lower_case
  /// tokenizer_config.json of a BertTokenizer: what its normalizer does whatever tokenizer.json says.
  struct BertText {
    bool lowercase = true;
    bool strip_accents = true;
    bool chinese_chars = true;
  };
  std::optional<BertText> bert_text;
  std::optional<bool> truncate_left;  // tokenizer_config.json's truncation_side; absent: as tokenizer.json says
};

/// The small files of a checkpoint, as text; empty optionals where a repository has none. `source` names them in
/// errors.
struct SpecFiles {
  std::string source;  // directory or repository, for messages
  std::string config_json;
  std::optional<std::string> modules_json;
  std::optional<std::string> pooling_json;                // 1_Pooling/config.json
  std::optional<std::string> sentence_transformers_json;  // config_sentence_transformers.json
  std::optional<std::string> sentence_bert_json;          // sentence_bert_config.json
  std::optional<std::string> tokenizer_config_json;       // tokenizer_config.json
};

/// Throws Error(malformed_file) naming file and key, Error(unsupported_model) naming what is not implemented
/// (model_type, activation, pooling other than mean, rope scaling other than ntk, …).
ModelSpec parse_model_spec(const SpecFiles& files);

/// A head's config.json; `folder` as in the repository, `source` the directory or repository, for messages. Errors as
/// parse_model_spec().
HeadSpec parse_head_spec(std::string_view json, const std::string& folder, const std::string& source);

}  // namespace stella::weights
