#include "weights/model_spec.hpp"

#include "base/mapped_file.hpp"
#include "stella/error.hpp"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::weights {
namespace {

SpecFiles checkpoint(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(STELLA_TEST_DATA) / "checkpoints" / name;
  SpecFiles files;
  files.source = "dir";
  files.config_json = read_text_file(folder / "config.json");
  files.modules_json = read_text_file(folder / "modules.json");
  files.pooling_json = read_text_file(folder / "1_Pooling/config.json");
  files.sentence_transformers_json = read_text_file(folder / "config_sentence_transformers.json");
  files.sentence_bert_json = read_text_file(folder / "sentence_bert_config.json");
  return files;
}

/// `text` with its only `from` replaced.
std::string with(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

struct Refusal {
  Errc code;
  std::string text;
  bool operator==(const Refusal& other) const { return code == other.code && text == other.text; }
};
std::ostream& operator<<(std::ostream& out, const Refusal& refusal) {
  return out << make_error_code(refusal.code).message() << ": " << refusal.text;
}

template <class Call>
Refusal refusal_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_FALSE(error.context().file.empty());
    return {error.errc(), error.what()};
  }
  return {Errc::shut_down, "accepted"};
}
Refusal refusal(const SpecFiles& files) {
  return refusal_of([&] { parse_model_spec(files); });
}
Refusal config_refusal(const std::string& model, const std::string& from, const std::string& to) {
  SpecFiles files = checkpoint(model);
  files.config_json = with(files.config_json, from, to);
  return refusal(files);
}

TEST(ModelSpec, ReadsTheSmallShape) {
  const ModelSpec spec = parse_model_spec(checkpoint("stella-small-tiny"));
  EXPECT_EQ(spec.encoder.architecture, Architecture::new_model);
  EXPECT_EQ(spec.encoder.model_type, "new");
  EXPECT_EQ(spec.encoder.vocab_size, 3005U);
  EXPECT_EQ(spec.encoder.hidden, 64U);
  EXPECT_EQ(spec.encoder.layers, 3U);
  EXPECT_EQ(spec.encoder.heads, 4U);
  EXPECT_EQ(spec.encoder.kv_heads, 4U);
  EXPECT_EQ(spec.encoder.head_dim, 16U);
  EXPECT_EQ(spec.encoder.intermediate, 160U);
  EXPECT_EQ(spec.encoder.max_positions, 8192U);
  EXPECT_EQ(spec.encoder.type_vocab_size, 2U);
  EXPECT_EQ(spec.encoder.norm_eps, 1e-12F);
  EXPECT_EQ(spec.encoder.rope_theta, 160000.0);
  EXPECT_EQ(spec.encoder.rope_ntk_factor, 2.0);
  EXPECT_TRUE(spec.encoder.packed_qkv);
  EXPECT_EQ(spec.modules_head, 1024U);
  EXPECT_EQ(spec.modules_head_folder, "2_Dense_1024");
  EXPECT_FALSE(spec.normalize_module);
  EXPECT_EQ(spec.prompts.at("s2s_query"), "Instruct: Retrieve semantically similar text.\nQuery: ");
  EXPECT_EQ(spec.prompts.size(), 2U);
  EXPECT_FALSE(spec.default_prompt_name);
  EXPECT_EQ(spec.max_seq_length, 512U);
}

TEST(ModelSpec, ReadsTheLargeShape) {
  const EncoderSpec spec = parse_model_spec(checkpoint("stella-large-tiny")).encoder;
  EXPECT_EQ(spec.architecture, Architecture::qwen2);
  EXPECT_EQ(spec.heads, 4U);
  EXPECT_EQ(spec.kv_heads, 2U);
  EXPECT_EQ(spec.head_dim, 16U);
  EXPECT_EQ(spec.norm_eps, 1e-6F);
  EXPECT_EQ(spec.rope_theta, 1e6);
  EXPECT_EQ(spec.rope_ntk_factor, 1.0);
  EXPECT_EQ(spec.max_positions, 131072U);
}

TEST(ModelSpec, ConfigAloneIsEnough) {
  SpecFiles files;
  files.config_json = R"({"model_type":"bert","vocab_size":10,"hidden_size":8,"num_hidden_layers":1,
    "num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":32,"hidden_act":"gelu"})";
  const ModelSpec spec = parse_model_spec(files);
  EXPECT_EQ(spec.encoder.architecture, Architecture::bert);
  EXPECT_EQ(spec.encoder.type_vocab_size, 2U);
  EXPECT_EQ(spec.encoder.norm_eps, 1e-12F);
  EXPECT_FALSE(spec.modules_head);
  EXPECT_FALSE(spec.max_seq_length);
}

TEST(ModelSpec, RelativesOfNew) {
  SpecFiles files = checkpoint("stella-small-tiny");
  files.config_json = with(files.config_json, R"("type_vocab_size": 2)", R"("type_vocab_size": 0)");
  files.config_json = with(files.config_json, R"("pack_qkv": true)", R"("pack_qkv": false)");
  files.config_json = with(files.config_json, R"("type": "ntk")", R"("type": "default")");
  const EncoderSpec spec = parse_model_spec(files).encoder;
  EXPECT_EQ(spec.type_vocab_size, 0U);
  EXPECT_FALSE(spec.packed_qkv);
  EXPECT_EQ(spec.rope_ntk_factor, 1.0);
}

TEST(ModelSpec, NamesWhatIsNotImplemented) {
  const auto small = [](const char* from, const char* to) { return config_refusal("stella-small-tiny", from, to); };
  const auto unsupported = [](const std::string& text) {
    return Refusal{Errc::unsupported_model, "dir/config.json: " + text};
  };
  EXPECT_EQ(small(R"("model_type": "new")", R"("model_type": "llama")"),
            unsupported("model_type 'llama' is not implemented; new, qwen2 and bert are"));
  EXPECT_EQ(small(R"("hidden_act": "gelu")", R"("hidden_act": "gelu_new")"),
            unsupported("hidden_act 'gelu_new' is not implemented; 'gelu' is"));
  EXPECT_EQ(small(R"("layer_norm_type": "layer_norm")", R"("layer_norm_type": "rms_norm")"),
            unsupported("layer_norm_type 'rms_norm' is not implemented; 'layer_norm' is"));
  EXPECT_EQ(small(R"("position_embedding_type": "rope")", R"("position_embedding_type": "absolute")"),
            unsupported("position_embedding_type 'absolute' is not implemented; 'rope' is"));
  EXPECT_EQ(small(R"("logn_attention_scale": false)", R"("logn_attention_scale": true)"),
            unsupported("logn_attention_scale true is not implemented"));
  EXPECT_EQ(small(R"("logn_attention_clip1": false)", R"("logn_attention_clip1": true)"),
            unsupported("logn_attention_clip1 true is not implemented"));
  EXPECT_EQ(small(R"("type": "ntk")", R"("type": "yarn")"), unsupported("rope_scaling 'yarn' is not implemented"));
  EXPECT_EQ(small(R"("type": "ntk")", R"("type": "ntk", "mixed_b": 0.6)"),
            unsupported("rope_scaling with mixed_b is not implemented"));
  const auto large = [](const char* from, const char* to) { return config_refusal("stella-large-tiny", from, to); };
  EXPECT_EQ(large(R"("hidden_act": "silu")", R"("hidden_act": "relu")"),
            unsupported("hidden_act 'relu' is not implemented; 'silu' is"));
  EXPECT_EQ(large(R"("use_sliding_window": false)", R"("use_sliding_window": true)"),
            unsupported("use_sliding_window true is not implemented"));
  EXPECT_EQ(large(R"("use_cache": true)", R"("rope_scaling": {"type": "ntk", "factor": 2})"),
            unsupported("rope_scaling 'ntk' is not implemented"));
  EXPECT_EQ(large(R"("use_cache": true)", R"("rope_parameters": {"rope_type": "yarn"})"),
            unsupported("rope_parameters 'yarn' is not implemented"));
}

TEST(ModelSpec, NamesFileKeyAndPlaceOfNonsense) {
  const auto small = [](const char* from, const char* to) { return config_refusal("stella-small-tiny", from, to); };
  const auto malformed = [](const std::string& text) {
    return Refusal{Errc::malformed_file, "dir/config.json: " + text};
  };
  EXPECT_EQ(small(R"("hidden_size": 64,)", ""), malformed("key 'hidden_size' is missing"));
  EXPECT_EQ(small(R"("hidden_size": 64)", R"("hidden_size": null)"), malformed("key 'hidden_size' is missing"));
  for (const char* value : {"0", "-64", "\"64\"", "true", "[64]", "4294967296"}) {
    EXPECT_EQ(small(R"("hidden_size": 64)", (std::string(R"("hidden_size": )") + value).c_str()),
              malformed(std::string("key 'hidden_size' is ") + value + ", not a whole number from 1 to 2147483648"));
  }
  EXPECT_EQ(small(R"("hidden_size": 64)", R"("hidden_size": 62)"),
            malformed("key 'hidden_size' is 62, not a multiple of the 4 num_attention_heads"));
  EXPECT_EQ(small(R"("num_attention_heads": 4)", R"("num_attention_heads": 64)"),
            malformed("key 'num_attention_heads' gives heads of odd size, which RoPE cannot turn"));
  EXPECT_EQ(small(R"("rope_theta": 160000)", R"("rope_theta": -1)"),
            malformed("key 'rope_theta' is -1, not a number above zero"));
  EXPECT_EQ(small(R"("factor": 2.0)", R"("factor": 0.5)"), malformed("key 'rope_scaling' has a factor below 1"));
  EXPECT_EQ(small(R"("pack_qkv": true)", R"("pack_qkv": "yes")"),
            malformed("key 'pack_qkv' is \"yes\", not true or false"));
  EXPECT_EQ(small(R"("model_type": "new",)", ""), malformed("key 'model_type' is missing"));
  EXPECT_EQ(small(R"("model_type": "new")", R"("model_type": 7)"), malformed("key 'model_type' is 7, not a string"));
  EXPECT_EQ(config_refusal("stella-large-tiny", R"("num_key_value_heads": 2)", R"("num_key_value_heads": 3)"),
            malformed("key 'num_key_value_heads' is 3, which does not divide the 4 num_attention_heads"));
  SpecFiles files;
  files.source = "dir";
  files.config_json = "[]";
  EXPECT_EQ(refusal(files), malformed("not a JSON object"));
  files.config_json = "{\n  \"a\": 1,\n  oops\n}";
  const Refusal broken = refusal(files);
  EXPECT_EQ(broken.code, Errc::malformed_file);
  EXPECT_THAT(broken.text, ::testing::StartsWith("dir/config.json: not valid JSON at line 3, column 3: "));
  files.config_json = "";
  EXPECT_THAT(refusal(files).text, ::testing::StartsWith("dir/config.json: not valid JSON at line 1, column 1: "));
  files.config_json = "{} {}";
  EXPECT_THAT(refusal(files).text, ::testing::StartsWith("dir/config.json: not valid JSON at line 1, column 4: "));
}

TEST(ModelSpec, OnlyMeanPoolingWithThePrompt) {
  const auto pooling = [](const char* from, const char* to) {
    SpecFiles files = checkpoint("stella-small-tiny");
    files.pooling_json = with(*files.pooling_json, from, to);
    return refusal(files);
  };
  const auto unsupported = [](const std::string& text) {
    return Refusal{Errc::unsupported_model, "dir/1_Pooling/config.json: " + text};
  };
  EXPECT_EQ(pooling(R"("pooling_mode_cls_token": false)", R"("pooling_mode_cls_token": true)"),
            unsupported("pooling_mode_cls_token true is not implemented"));
  EXPECT_EQ(pooling(R"("pooling_mode_max_tokens": false)", R"("pooling_mode_lasttoken": true)"),
            unsupported("pooling_mode_lasttoken true is not implemented"));
  EXPECT_EQ(pooling(R"("pooling_mode_mean_tokens": true)", R"("pooling_mode": ["mean", "max"])"),
            unsupported("pooling_mode 'max' is not implemented; 'mean' is"));
  EXPECT_EQ(pooling(R"("pooling_mode_mean_tokens": true)", R"("pooling_mode": ["mean", "mean"])"),
            unsupported("pooling_mode of several modes is not implemented"));
  EXPECT_EQ(pooling(R"("include_prompt": true)", R"("include_prompt": false)"),
            unsupported("include_prompt false is not implemented"));
  EXPECT_EQ(
      pooling(R"("word_embedding_dimension": 64)", R"("word_embedding_dimension": 32)"),
      (Refusal{
          Errc::malformed_file,
          "dir/1_Pooling/config.json: key 'word_embedding_dimension' is 32, but config.json's hidden_size is 64"}));
}

TEST(ModelSpec, ModulesAreTheOnesThatWeHave) {
  const auto modules = [](const std::string& text) {
    SpecFiles files = checkpoint("stella-small-tiny");
    files.modules_json = text;
    return files;
  };
  const std::string transformer = R"([{"idx":0,"path":"","type":"sentence_transformers.models.Transformer"})";
  const std::string pooling = R"(,{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"})";
  const ModelSpec spec = parse_model_spec(
      modules(transformer + pooling + R"(,{"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}])"));
  EXPECT_TRUE(spec.normalize_module);
  EXPECT_FALSE(spec.modules_head_folder);
  const auto dense = [](const char* path) {
    return std::string(R"(,{"path":")") + path + R"(","type":"sentence_transformers.models.Dense"})";
  };
  const auto unsupported = [](const std::string& text) {
    return Refusal{Errc::unsupported_model, "dir/modules.json: " + text};
  };
  EXPECT_EQ(refusal(modules(transformer + R"(,{"path":"1_X","type":"sentence_transformers.models.LSTM"}])")),
            unsupported("module 'LSTM' is not implemented"));
  EXPECT_EQ(refusal(modules(R"([{"path":"","type":"custom_st.Transformer"}])")),
            unsupported("module 'custom_st.Transformer' is code of the repository's own, which is not run"));
  EXPECT_EQ(refusal(modules(transformer + pooling + dense("1_D") + dense("2_D") + "]")),
            unsupported("module 'Dense' at this place is not implemented"));
  EXPECT_EQ(refusal(modules(transformer + dense("1_D") + "]")),
            unsupported("module 'Dense' at this place is not implemented"));
  EXPECT_EQ(refusal(modules(transformer + "]")),
            unsupported("a model without Transformer and Pooling is not implemented"));
  EXPECT_EQ(refusal(modules("[]")), unsupported("a model without Transformer and Pooling is not implemented"));
  EXPECT_EQ(refusal(modules(transformer + pooling + dense("../x") + "]")),
            (Refusal{Errc::malformed_file, "dir/modules.json: key 'path' is '../x', not the plain name of a folder"}));
  EXPECT_EQ(refusal(modules("{}")), (Refusal{Errc::malformed_file, "dir/modules.json: not a JSON array"}));
  SpecFiles files = checkpoint("stella-small-tiny");
  files.pooling_json.reset();
  EXPECT_EQ(refusal(files),
            (Refusal{Errc::malformed_file,
                     "dir/modules.json: key 'path' names 1_Pooling, but 1_Pooling/config.json is missing"}));
}

TEST(ModelSpec, PromptsAreCheckedAgainstTheDefault) {
  SpecFiles files = checkpoint("stella-small-tiny");
  files.sentence_transformers_json = R"({"prompts":{"q":"Q: "},"default_prompt_name":"q"})";
  EXPECT_EQ(parse_model_spec(files).default_prompt_name, "q");
  files.sentence_transformers_json = R"({"prompts":{"q":"Q: "},"default_prompt_name":"r"})";
  EXPECT_EQ(refusal(files), (Refusal{Errc::malformed_file,
                                     "dir/config_sentence_transformers.json: key 'default_prompt_name' is 'r', "
                                     "which 'prompts' does not hold"}));
  files.sentence_transformers_json = R"({"prompts":{"q":7}})";
  EXPECT_EQ(refusal(files), (Refusal{Errc::malformed_file,
                                     "dir/config_sentence_transformers.json: key 'prompts' holds something that is not "
                                     "a string under 'q'"}));
}

// What sentence-transformers 6.2.0 makes of the same files (base/model.py, base/modules/transformer.py).
TEST(ModelSpec, ReadsPromptsAsSentenceTransformersDoes) {
  SpecFiles files = checkpoint("stella-small-tiny");
  files.sentence_transformers_json =
      R"({"default_prompt_name":"query","prompts":{"document":null,"passage":"passage: ","query":"query: "}})";
  const ModelSpec spec = parse_model_spec(files);
  EXPECT_EQ(spec.default_prompt_name, "query");
  EXPECT_EQ(spec.prompts,
            (std::map<std::string, std::string>{{"document", ""}, {"passage", "passage: "}, {"query", "query: "}}));
  files.sentence_transformers_json = R"({"default_prompt_name":"document","prompts":{}})";
  EXPECT_EQ(parse_model_spec(files).prompts.at("document"), "");
  files.sentence_transformers_json = R"({"default_prompt_name":null,"prompts":{"a":"b"}})";
  EXPECT_FALSE(parse_model_spec(files).default_prompt_name);
  files.sentence_transformers_json = R"({"default_prompt_name":"none","prompts":{"none":"b"}})";
  EXPECT_EQ(refusal(files).code, Errc::unsupported_model);
}

TEST(ModelSpec, TheTokenizersLimitCountsWhereNoneIsGiven) {
  const auto limit = [](const std::string& sentence_bert, const std::string& tokenizer_config) {
    SpecFiles files;
    files.config_json = checkpoint("stella-small-tiny").config_json;
    if (!sentence_bert.empty()) files.sentence_bert_json = sentence_bert;
    files.tokenizer_config_json = tokenizer_config;
    return parse_model_spec(files).max_seq_length;
  };
  EXPECT_EQ(limit(R"({"max_seq_length":64})", R"({"model_max_length":32})"), 64U);
  EXPECT_EQ(limit(R"({"max_seq_length":null})", R"({"model_max_length":32})"), 32U);
  EXPECT_EQ(limit(R"({"transformer_task":"feature-extraction"})", R"({"model_max_length":32})"), 32U);
  EXPECT_EQ(limit("", R"({"model_max_length":32})"), 32U);
  EXPECT_EQ(limit("", R"({"max_len":48})"), 48U);
  EXPECT_EQ(limit("", R"({"model_max_length":1000000000000000019884624838656})"), std::nullopt);
  EXPECT_EQ(limit("", R"({"model_max_length":1e30})"), std::nullopt);
  EXPECT_EQ(limit("", R"({"model_max_length":null})"), std::nullopt);
  EXPECT_EQ(limit("", "{}"), std::nullopt);
  SpecFiles files = checkpoint("stella-small-tiny");
  EXPECT_FALSE(parse_model_spec(files).truncate_left);
  files.tokenizer_config_json = R"({"truncation_side":"left"})";
  EXPECT_EQ(parse_model_spec(files).truncate_left, true);
  files.tokenizer_config_json = R"({"truncation_side":"right"})";
  EXPECT_EQ(parse_model_spec(files).truncate_left, false);
  files.tokenizer_config_json = R"({"truncation_side":"middle"})";
  EXPECT_EQ(refusal(files),
            (Refusal{Errc::malformed_file,
                     "dir/tokenizer_config.json: key 'truncation_side' is 'middle', not left or right"}));
  files.sentence_bert_json = "{}";
  files.tokenizer_config_json = R"({"model_max_length":-1})";
  EXPECT_EQ(refusal(files).code, Errc::malformed_file);
}

// sentence_transformers/sentence_transformer/modules/pooling.py, version 6.2.0.
TEST(ModelSpec, PoolingModesAreReadAsSentenceTransformersDoes) {
  for (const char* text : {R"({"embedding_dimension":64,"pooling_mode":"mean","include_prompt":true})",
                           R"({"pooling_mode":["mean"]})", R"({"pooling_mode":"mean","pooling_mode_cls_token":true})",
                           "{}", R"({"pooling_mode_mean_tokens":false,"pooling_mode_cls_token":false})",
                           R"({"word_embedding_dimension":64,"pooling_mode_mean_tokens":true})"}) {
    SpecFiles files = checkpoint("stella-small-tiny");
    files.pooling_json = text;
    EXPECT_NO_THROW(parse_model_spec(files)) << text;
  }
  for (const char* text :
       {R"({"pooling_mode":"cls"})", R"({"pooling_mode":["mean","max"]})", R"({"pooling_mode_lasttoken":true})",
        R"({"embedding_dimension":32})", R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true})"}) {
    SpecFiles files = checkpoint("stella-small-tiny");
    files.pooling_json = text;
    EXPECT_NE(refusal(files).text, "accepted") << text;
  }
}

TEST(ModelSpec, WhatSentenceTransformersWouldDoIsDoneOrRefusedByName) {
  const auto bert_config = [](const std::string& text) {
    SpecFiles files;
    files.config_json = checkpoint("stella-small-tiny").config_json;
    files.sentence_bert_json = text;
    return files;
  };
  // As sentence-transformers 6 writes it.
  EXPECT_NO_THROW(parse_model_spec(
      bert_config(R"({"transformer_task":"feature-extraction","modality_config":{"text":{"method":"forward",)"
                  R"("method_output_name":"last_hidden_state"}},"module_output_name":"token_embeddings"})")));
  EXPECT_EQ(
      parse_model_spec(bert_config(R"({"max_seq_length":64,"tokenizer_args":{"model_max_length":32}})")).max_seq_length,
      32U);
  EXPECT_NO_THROW(parse_model_spec(
      bert_config(R"({"config_args":{"use_memory_efficient_attention":false,"unpad_inputs":false}})")));
  for (const auto& [text, name] : std::vector<std::pair<std::string, std::string>>{
           {R"({"transformer_task":"fill-mask"})", "transformer_task"},
           {R"({"query_length":32})", "query_length"},
           {R"({"query_expansion":{"length":32}})", "query_expansion"},
           {R"({"processing_kwargs":{"text":{"max_length":16}}})", "processing_kwargs"},
           {R"({"config_args":{"num_hidden_layers":2}})", "config_args"},
           {R"({"tokenizer_name_or_path":"bert-base-uncased"})", "tokenizer_name_or_path"}}) {
    const Refusal refused = refusal(bert_config(text));
    EXPECT_EQ(refused.code, Errc::unsupported_model) << text;
    EXPECT_THAT(refused.text, ::testing::StartsWith("sentence_bert_config.json: " + name)) << text;
  }
  SpecFiles files = checkpoint("stella-small-tiny");
  files.sentence_transformers_json = R"({"model_type":"SparseEncoder"})";
  EXPECT_EQ(refusal(files).code, Errc::unsupported_model);
  EXPECT_EQ(config_refusal("stella-large-tiny", R"("is_causal": false)", R"("is_causal": true)").code,
            Errc::unsupported_model);
}

// json.loads() of Python 3 takes all of these.
TEST(ModelSpec, ReadsJsonAsPythonDoes) {
  const auto small = [](const char* from, const char* to) {
    SpecFiles files = checkpoint("stella-small-tiny");
    files.config_json = with(files.config_json, from, to);
    return files;
  };
  EXPECT_EQ(parse_model_spec(small(R"("hidden_size": 64)", R"("hidden_size": 64.0)")).encoder.hidden, 64U);
  EXPECT_EQ(parse_model_spec(small(R"("hidden_size": 64)", R"("hidden_size": 6.4e1)")).encoder.hidden, 64U);
  EXPECT_EQ(parse_model_spec(small(R"("hidden_size": 64)", R"("hidden_size": 32, "hidden_size": 64)")).encoder.hidden,
            64U);
  EXPECT_EQ(parse_model_spec(small(R"("initializer_range": 0.02)",
                                   R"("initializer_range": NaN, "a": [Infinity, -Infinity], "b": "NaN \" Infinity")"))
                .encoder.hidden,
            64U);
  EXPECT_EQ(refusal(small(R"("rope_theta": 160000)", R"("rope_theta": NaN)")).code, Errc::malformed_file);
  EXPECT_EQ(refusal(small(R"("hidden_size": 64)", R"("hidden_size": Infinity)")).code, Errc::malformed_file);
  SpecFiles files = checkpoint("stella-small-tiny");
  files.config_json.insert(0, "\xEF\xBB\xBF");
  EXPECT_EQ(parse_model_spec(files).encoder.hidden, 64U);
}

// BertTokenizer of transformers 5.24 (and of 4) makes its normalizer anew from these.
TEST(ModelSpec, TheBertTokenizersSettings) {
  const auto read = [](const std::string& text) {
    SpecFiles files;
    files.config_json = checkpoint("stella-small-tiny").config_json;
    files.tokenizer_config_json = text;
    return parse_model_spec(files).bert_text;
  };
  EXPECT_FALSE(read("{}"));
  EXPECT_FALSE(read(R"({"tokenizer_class":"Qwen2Tokenizer","do_lower_case":true})"));
  const auto plain = read(R"({"tokenizer_class":"BertTokenizer","strip_accents":null})");
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->lowercase && plain->strip_accents && plain->chinese_chars);
  const auto cased =
      read(R"({"tokenizer_class":"BertTokenizerFast","do_lower_case":false,"tokenize_chinese_chars":false})");
  ASSERT_TRUE(cased);
  EXPECT_FALSE(cased->lowercase || cased->strip_accents || cased->chinese_chars);
  EXPECT_TRUE(read(R"({"tokenizer_class":"BertTokenizer","do_lower_case":false,"strip_accents":true})")->strip_accents);
}

TEST(ModelSpec, LimitsAreNamed) {
  SpecFiles files;
  files.source = "dir";
  const auto nested = [](std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  files.config_json = R"({"a":)" + nested(129) + "}";
  EXPECT_EQ(refusal(files),
            (Refusal{Errc::limit_exceeded, "dir/config.json: nests deeper than the 128 levels that are read"}));
  files.config_json = R"({"a":)" + nested(100) + "}";
  EXPECT_EQ(refusal(files).code, Errc::malformed_file);  // without a model_type
  files.config_json = std::string((std::size_t{16} << 20U) + 1, ' ');
  EXPECT_EQ(refusal(files), (Refusal{Errc::limit_exceeded,
                                     "dir/config.json: has 16777217 bytes, more than the 16777216 "
                                     "that are read of such a file"}));
  files.config_json = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n";
  EXPECT_EQ(refusal(files), (Refusal{Errc::malformed_file,
                                     "dir/config.json: a Git LFS pointer lies in place of the file; "
                                     "run `git lfs pull` there"}));
}

TEST(HeadSpec, ReadsAndRefuses) {
  const HeadSpec head = parse_head_spec(
      R"({"in_features":64,"out_features":256,"bias":true,"activation_function":"torch.nn.modules.linear.Identity"})",
      "2_Dense_256", "dir");
  EXPECT_EQ(head.in, 64U);
  EXPECT_EQ(head.out, 256U);
  EXPECT_TRUE(head.bias);
  EXPECT_EQ(head.folder, "2_Dense_256");
  const auto refused = [](const char* text) {
    return refusal_of([&] { parse_head_spec(text, "2_Dense_256", "dir"); });
  };
  EXPECT_EQ(refused(R"({"in_features":64})"),
            (Refusal{Errc::malformed_file, "dir/2_Dense_256/config.json: key 'out_features' is missing"}));
  EXPECT_EQ(refused(R"({"in_features":64,"out_features":2,"activation_function":"torch.nn.modules.activation.Tanh"})"),
            (Refusal{Errc::unsupported_model,
                     "dir/2_Dense_256/config.json: activation_function "
                     "'torch.nn.modules.activation.Tanh' is not implemented; Identity is"}));
}

}  // namespace
}  // namespace stella::weights
