#include "weights/model_spec.hpp"

#include "stella/error.hpp"
#include "weights/json_reader.hpp"

#include <algorithm>
#include <cctype>
#include <initializer_list>

namespace stella::weights {
namespace {

void require_text(const JsonObject& object, std::string_view key, std::string_view fallback,
                  std::string_view implemented) {
  const std::string value = object.text_or(key, std::string(fallback));
  if (value != implemented) {
    object.unsupported(key, "'" + value + "' is not implemented; '" + std::string(implemented) + "' is");
  }
}

void require_flag(const JsonObject& object, std::string_view key, bool fallback, bool implemented) {
  if (object.flag_or(key, fallback) != implemented) {
    object.unsupported(key, implemented ? "false is not implemented" : "true is not implemented");
  }
}

/// rope_theta and rope_scaling; newer writers put both into rope_parameters.
void read_rope(const JsonObject& config, bool ntk_allowed, EncoderSpec& spec) {
  spec.rope_theta = config.positive_or("rope_theta", 10000);
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const json::value* value = config.find(key);
    if (value == nullptr) continue;
    if (!value->is_object()) config.malformed(key, "is " + json::serialize(*value) + ", not an object");
    const JsonObject scaling(*value, config.file());
    spec.rope_theta = scaling.positive_or("rope_theta", spec.rope_theta);
    const std::string type = scaling.text_or("type", scaling.text_or("rope_type", "default"));
    if (type == "default") continue;
    if (type != "ntk" || !ntk_allowed) config.unsupported(key, "'" + type + "' is not implemented");
    if (scaling.has("mixed_b")) config.unsupported(key, "with mixed_b is not implemented");
    spec.rope_ntk_factor = scaling.positive_or("factor", 1);
    if (spec.rope_ntk_factor < 1) config.malformed(key, "has a factor below 1");
  }
  if (spec.head_dim % 2 != 0)
    config.malformed("num_attention_heads", "gives heads of odd size, which RoPE cannot turn");
}

void read_sizes(const JsonObject& config, EncoderSpec& spec) {
  spec.vocab_size = config.size("vocab_size");
  spec.hidden = config.size("hidden_size");
  spec.layers = config.size("num_hidden_layers");
  spec.heads = config.size("num_attention_heads");
  spec.intermediate = config.size("intermediate_size");
  spec.max_positions = config.size("max_position_embeddings");
  if (spec.hidden % spec.heads != 0) {
    config.malformed("hidden_size", "is " + std::to_string(spec.hidden) + ", not a multiple of the " +
                                        std::to_string(spec.heads) + " num_attention_heads");
  }
  spec.kv_heads = spec.heads;
  spec.head_dim = spec.hidden / spec.heads;
}

/// Alibaba's NewModel (GTE v1.5 and relatives); defaults are those of its configuration class.
void read_new(const JsonObject& config, EncoderSpec& spec) {
  spec.architecture = Architecture::new_model;
  read_sizes(config, spec);
  spec.type_vocab_size = config.size_or("type_vocab_size", 1, 0);
  spec.norm_eps = static_cast<float>(config.positive_or("layer_norm_eps", 1e-12));
  spec.packed_qkv = config.flag_or("pack_qkv", true);
  require_text(config, "hidden_act", "gelu", "gelu");
  require_text(config, "layer_norm_type", "layer_norm", "layer_norm");
  require_text(config, "position_embedding_type", "rope", "rope");
  require_flag(config, "logn_attention_scale", false, false);
  require_flag(config, "logn_attention_clip1", false, false);
  read_rope(config, true, spec);
}

void read_qwen2(const JsonObject& config, EncoderSpec& spec) {
  spec.architecture = Architecture::qwen2;
  read_sizes(config, spec);
  spec.kv_heads = config.size_or("num_key_value_heads", spec.heads);
  if (spec.heads % spec.kv_heads != 0) {
    config.malformed("num_key_value_heads", "is " + std::to_string(spec.kv_heads) + ", which does not divide the " +
                                                std::to_string(spec.heads) + " num_attention_heads");
  }
  spec.head_dim = config.size_or("head_dim", spec.head_dim);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  require_text(config, "hidden_act", "silu", "silu");
  require_flag(config, "use_sliding_window", false, false);
  // Stella attends in both directions and says so by omission.
  require_flag(config, "is_causal", false, false);
  read_rope(config, false, spec);
}

void read_bert(const JsonObject& config, EncoderSpec& spec) {
  spec.architecture = Architecture::bert;
  read_sizes(config, spec);
  spec.type_vocab_size = config.size_or("type_vocab_size", 2);
  spec.norm_eps = static_cast<float>(config.positive_or("layer_norm_eps", 1e-12));
  require_text(config, "hidden_act", "gelu", "gelu");
  require_text(config, "position_embedding_type", "absolute", "absolute");
  require_flag(config, "is_decoder", false, false);
}

EncoderSpec read_config(const JsonObject& config) {
  EncoderSpec spec;
  spec.model_type = config.text("model_type");
  if (spec.model_type == "new") {
    read_new(config, spec);
  } else if (spec.model_type == "qwen2") {
    read_qwen2(config, spec);
  } else if (spec.model_type == "bert") {
    read_bert(config, spec);
  } else {
    config.unsupported("model_type", "'" + spec.model_type + "' is not implemented; new, qwen2 and bert are");
  }
  return spec;
}

/// The modes of a Pooling module, as sentence-transformers reads them: pooling_mode, a name or several; without it the
/// flags of older files, and mean where none is set.
std::vector<std::string> pooling_modes(const JsonObject& pooling) {
  std::vector<std::string> modes;
  if (const json::value* value = pooling.find("pooling_mode")) {
    if (!value->is_array()) return {pooling.text("pooling_mode")};
    for (const json::value& mode : value->get_array()) {
      if (!mode.is_string()) pooling.malformed("pooling_mode", "holds something that is not a string");
      modes.emplace_back(mode.get_string());
    }
    return modes;
  }
  for (const auto& [key, value] : pooling.items()) {
    const std::string name(key);
    if (name.starts_with("pooling_mode_") && pooling.flag_or(name, false)) modes.push_back(name);
  }
  if (modes.empty()) modes.emplace_back("mean");
  return modes;
}

/// Mean pooling over all tokens is what Stella and its relatives use; any other mode would give other vectors.
void check_pooling(const JsonObject& pooling, std::size_t hidden) {
  for (const std::string& mode : pooling_modes(pooling)) {
    if (mode == "mean" || mode == "pooling_mode_mean_tokens") continue;
    if (mode.starts_with("pooling_mode_")) pooling.unsupported(mode, "true is not implemented");
    pooling.unsupported("pooling_mode", "'" + mode + "' is not implemented; 'mean' is");
  }
  if (pooling_modes(pooling).size() != 1) pooling.unsupported("pooling_mode", "of several modes is not implemented");
  require_flag(pooling, "include_prompt", true, true);
  for (const char* key : {"word_embedding_dimension", "embedding_dimension"}) {
    const std::size_t width = pooling.size_or(key, hidden);
    if (width == hidden) continue;
    pooling.malformed(key,
                      "is " + std::to_string(width) + ", but config.json's hidden_size is " + std::to_string(hidden));
  }
}

std::string last_part(const std::string& dotted) {
  return dotted.substr(dotted.rfind('.') + 1);  // npos + 1 is 0
}

/// The number that ends "2_Dense_1024", where one does.
std::optional<std::size_t> trailing_size(const std::string& folder) {
  const std::size_t digits = folder.size() - (folder.find_last_not_of("0123456789") + 1);
  if (digits == 0 || digits > 7 || digits == folder.size()) return std::nullopt;
  return std::stoul(folder.substr(folder.size() - digits));
}

/// A folder name that stays inside the checkpoint.
bool is_plain_folder(const std::string& name) {
  return !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
}

/// Accepts Transformer, Pooling, at most one Dense, at most one Normalize, in this order.
void read_modules(const json::value& modules, const std::string& file, bool has_pooling_file, ModelSpec& spec) {
  if (!modules.is_array()) throw Error(Errc::malformed_file, file + ": not a JSON array", {.file = file});
  static constexpr std::string_view kOrder[] = {"Transformer", "Pooling", "Dense", "Normalize"};
  std::size_t next = 0;
  for (const json::value& item : modules.get_array()) {
    const JsonObject module(item, file);
    const std::string full_type = module.text("type");
    if (!full_type.starts_with("sentence_transformers.")) {
      module.unsupported("module", "'" + full_type + "' is code of the repository's own, which is not run");
    }
    const std::string type = last_part(full_type);
    const std::string path = module.text_or("path", "");
    const auto* const known = std::find(std::begin(kOrder), std::end(kOrder), type);
    if (known == std::end(kOrder)) module.unsupported("module", "'" + type + "' is not implemented");
    const auto place = static_cast<std::size_t>(known - std::begin(kOrder));
    // Transformer and Pooling are always there, and first.
    if (place < next || place > next + (next < 2 ? 0 : 1)) {
      module.unsupported("module", "'" + type + "' at this place is not implemented");
    }
    next = place + 1;
    if (type == "Transformer" && !path.empty()) {
      module.unsupported(
          "module", "'Transformer' in the folder '" + path + "' is not implemented; its files must lie at the top");
    }
    if (type == "Pooling" && path != "1_Pooling")
      module.unsupported("module", "'Pooling' in '" + path + "' is not implemented");
    if (type == "Pooling" && !has_pooling_file)
      module.malformed("path", "names 1_Pooling, but 1_Pooling/config.json is missing");
    if (type == "Dense") {
      if (!is_plain_folder(path)) module.malformed("path", "is '" + path + "', not the plain name of a folder");
      spec.modules_head_folder = path;
      spec.modules_head = trailing_size(path);
    }
    spec.normalize_module = spec.normalize_module || type == "Normalize";
  }
  if (next < 2) {
    throw Error(Errc::unsupported_model, file + ": a model without Transformer and Pooling is not implemented",
                {.file = file});
  }
}

void read_prompts(const JsonObject& options, ModelSpec& spec) {
  require_text(options, "model_type", "SentenceTransformer", "SentenceTransformer");
  if (const json::value* prompts = options.find("prompts"); prompts != nullptr) {
    if (!prompts->is_object()) options.malformed("prompts", "is not an object of strings");
    for (const auto& [name, text] : prompts->get_object()) {
      if (!text.is_string() && !text.is_null())
        options.malformed("prompts", "holds something that is not a string under '" + std::string(name) + "'");
      spec.prompts.emplace(std::string(name), text.is_null() ? std::string() : std::string(text.get_string()));
    }
  }
  if (!options.has("default_prompt_name")) return;
  const std::string name = options.text("default_prompt_name");
  // sentence-transformers gives every model these two, without a text.
  if (name == "query" || name == "document") spec.prompts.try_emplace(name);
  const auto prompt = spec.prompts.find(name);
  if (prompt == spec.prompts.end()) {
    options.malformed("default_prompt_name", "is '" + name + "', which 'prompts' does not hold");
  }
  if (name == "none" && !prompt->second.empty()) {
    options.unsupported("default_prompt_name", "'none' with a text is not implemented; 'none' is no prompt here");
  }
  spec.default_prompt_name = name;
}

/// The longest input that the tokenizer's settings allow; writers put 10^30 there for no limit.
std::optional<std::size_t> read_model_max_length(const JsonObject& options) {
  for (const std::string_view key : {"model_max_length", "max_len"}) {  // max_len: the name in old files
    const json::value* value = options.find(key);
    if (value == nullptr) continue;
    if (value->is_number() && value->to_number<double>() >= static_cast<double>(JsonObject::kLargest)) break;
    return options.size(key);
  }
  return std::nullopt;
}

void read_truncation_side(const JsonObject& options, ModelSpec& spec) {
  if (!options.has("truncation_side")) return;
  const std::string side = options.text("truncation_side");
  if (side != "left" && side != "right") options.malformed("truncation_side", "is '" + side + "', not left or right");
  spec.truncate_left = side == "left";
}

/// Refuses the keys of the object under `key` that are not among `known`.
void require_known(const JsonObject& options, std::string_view key, std::initializer_list<std::string_view> known) {
  const json::value* value = options.find(key);
  if (value == nullptr) return;
  if (!value->is_object()) options.malformed(key, "is not an object");
  for (const auto& [name, setting] : value->get_object()) {
    if (setting.is_null() || std::find(known.begin(), known.end(), std::string_view(name)) != known.end()) continue;
    options.unsupported(key, "with '" + std::string(name) + "' is not implemented");
  }
}

/// What sentence-transformers calls its Transformer module with. Whatever would change a vector is read or refused.
void read_sentence_bert(const JsonObject& options, ModelSpec& spec) {
  spec.max_seq_length = options.optional_size("max_seq_length");
  spec.lower_case = options.flag_or("do_lower_case", false);
  require_text(options, "transformer_task", "feature-extraction", "feature-extraction");
  require_text(options, "module_output_name", "token_embeddings", "token_embeddings");
  for (const std::string_view key : {"tokenizer_name_or_path", "query_length", "document_length", "query_expansion"}) {
    if (options.has(key)) options.unsupported(key, "is not implemented");
  }
  require_known(options, "processing_kwargs", {});
  for (const std::string_view key : {"config_args", "config_kwargs"}) {
    require_known(options, key,
                  {"trust_remote_code", "revision", "use_memory_efficient_attention", "unpad_inputs", "use_cache",
                   "attn_implementation"});
  }
  for (const std::string_view key : {"tokenizer_args", "processor_kwargs"}) {
    require_known(options, key,
                  {"trust_remote_code", "revision", "padding_side", "use_fast", "model_max_length", "truncation_side"});
    const json::value* value = options.find(key);
    if (value == nullptr) continue;
    const JsonObject own(*value, options.file());
    if (const auto length = read_model_max_length(own)) spec.max_seq_length = length;
    read_truncation_side(own, spec);
  }
}

/// sentence-transformers 6 keeps max_seq_length here.
void read_tokenizer_config(const JsonObject& options, ModelSpec& spec) {
  if (!spec.max_seq_length) spec.max_seq_length = read_model_max_length(options);
  if (!spec.truncate_left) read_truncation_side(options, spec);
  const std::string kind = options.text_or("tokenizer_class", "");
  if (kind != "BertTokenizer" && kind != "BertTokenizerFast") return;
  ModelSpec::BertText bert;
  bert.lowercase = options.flag_or("do_lower_case", true);
  bert.strip_accents = options.flag_or("strip_accents", bert.lowercase);
  bert.chinese_chars = options.flag_or("tokenize_chinese_chars", true);
  spec.bert_text = bert;
}

}  // namespace

ModelSpec parse_model_spec(const SpecFiles& files) {
  const auto name = [&](const char* file) {
    return files.source.empty() ? std::string(file) : files.source + "/" + file;
  };
  ModelSpec spec;
  const json::value config = parse_json(files.config_json, name("config.json"));
  spec.encoder = read_config(JsonObject(config, name("config.json")));
  if (files.pooling_json) {
    const json::value pooling = parse_json(*files.pooling_json, name("1_Pooling/config.json"));
    check_pooling(JsonObject(pooling, name("1_Pooling/config.json")), spec.encoder.hidden);
  }
  if (files.modules_json) {
    const std::string file = name("modules.json");
    read_modules(parse_json(*files.modules_json, file), file, files.pooling_json.has_value(), spec);
  }
  if (files.sentence_transformers_json) {
    const std::string file = name("config_sentence_transformers.json");
    const json::value options = parse_json(*files.sentence_transformers_json, file);
    read_prompts(JsonObject(options, file), spec);
  }
  if (files.sentence_bert_json) {
    const std::string file = name("sentence_bert_config.json");
    const json::value value = parse_json(*files.sentence_bert_json, file);
    read_sentence_bert(JsonObject(value, file), spec);
  }
  if (files.tokenizer_config_json) {
    const std::string file = name("tokenizer_config.json");
    const json::value options = parse_json(*files.tokenizer_config_json, file);
    read_tokenizer_config(JsonObject(options, file), spec);
  }
  return spec;
}

HeadSpec parse_head_spec(std::string_view text, const std::string& folder, const std::string& source) {
  const std::string file = (source.empty() ? "" : source + "/") + folder + "/config.json";
  const json::value value = parse_json(text, file);
  const JsonObject config(value, file);
  HeadSpec head;
  head.in = config.size("in_features");
  head.out = config.size("out_features");
  head.bias = config.flag_or("bias", true);
  head.folder = folder;
  require_flag(config, "use_residual", false, false);
  require_text(config, "module_input_name", "sentence_embedding", "sentence_embedding");
  require_text(config, "module_output_name", "sentence_embedding", "sentence_embedding");
  // Without the key, sentence-transformers takes tanh.
  const std::string activation = config.text_or("activation_function", "torch.nn.modules.activation.Tanh");
  if (last_part(activation) != "Identity") {
    config.unsupported("activation_function", "'" + activation + "' is not implemented; Identity is");
  }
  return head;
}

}  // namespace stella::weights
