#include "tokenizer/tokenizer_file.hpp"

#include "stella/error.hpp"

#include <optional>
#include <simdjson.h>
#include <utility>

namespace stella::tokenizer {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::int64_t kMaxId = (std::int64_t{1} << 24) - 1;
constexpr std::string_view kRemedy = "; download the file again";

class Reader {
 public:
  Reader(const std::string& source, TokenizerParts& parts) : source_(source), parts_(parts) {}

  void read(const object& root) {
    if (const auto version = find(root, "version"); version && text(*version, "version") != "1.0") {
      unsupported("version " + std::string(text(*version, "version")));
    }
    if (const auto truncation = find(root, "truncation")) read_truncation(as_object(*truncation, "truncation"));
    read_added_tokens(root);
    if (const auto normalizer = find(root, "normalizer")) read_normalizer(as_object(*normalizer, "normalizer"));
    const bool byte_level = read_pre_tokenizer(root);
    if (const auto processor = find(root, "post_processor")) {
      read_post_processor(as_object(*processor, "post_processor"));
    }
    read_model(as_object(need(root, "model", "model"), "model"), byte_level);
  }

  [[noreturn]] void malformed(const std::string& what) const {
    throw Error(Errc::malformed_file, source_ + ": " + what + std::string(kRemedy), {.file = source_});
  }

 private:
  [[noreturn]] void unsupported(const std::string& what) const {
    throw Error(Errc::unsupported_model,
                source_ + ": " + what +
                    " is not supported; tokenizers of BERT's kind (WordPiece) and of Qwen2's (byte-level BPE) are",
                {.file = source_});
  }

  /// A member that is there and not null.
  static std::optional<element> find(const object& from, std::string_view name) {
    element value;
    if (from.at_key(name).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
    return value;
  }
  element need(const object& from, std::string_view name, const std::string& path) const {
    const auto value = find(from, name);
    if (!value) malformed(path + " is missing");
    return *value;
  }
  template <class T>
  T as(const element& value, const std::string& path, const char* kind) const {
    T result;
    if (value.get(result) != simdjson::SUCCESS) malformed(path + " is not " + kind);
    return result;
  }
  object as_object(const element& value, const std::string& path) const { return as<object>(value, path, "an object"); }
  array as_array(const element& value, const std::string& path) const { return as<array>(value, path, "an array"); }
  std::string_view text(const element& value, const std::string& path) const {
    return as<std::string_view>(value, path, "a string");
  }
  std::string_view need_text(const object& from, std::string_view name, const std::string& path) const {
    return text(need(from, name, path + "." + std::string(name)), path + "." + std::string(name));
  }
  std::string_view type_of(const object& component, const std::string& path) const {
    return need_text(component, "type", path);
  }
  bool flag(const object& from, std::string_view name, const std::string& path, std::optional<bool> otherwise) const {
    const auto value = find(from, name);
    if (!value && otherwise) return *otherwise;
    if (!value) malformed(path + "." + std::string(name) + " is missing");
    return as<bool>(*value, path + "." + std::string(name), "true or false");
  }
  std::int32_t id(const element& value, const std::string& path) const {
    const auto number = as<std::int64_t>(value, path, "a number");
    if (number < 0 || number > kMaxId) malformed(path + " is not an id: " + std::to_string(number));
    return static_cast<std::int32_t>(number);
  }

  /// How many tokens are kept is the caller's to say, and a stride only makes further pieces, which are not embedded.
  void read_truncation(const object& truncation) {
    if (const auto direction = find(truncation, "direction")) {
      const std::string_view side = text(*direction, "truncation.direction");
      if (side != "Left" && side != "Right") malformed("truncation.direction is neither Left nor Right");
      if (side == "Left") parts_.truncation_side = TruncationSide::left;
    }
    if (const auto strategy = find(truncation, "strategy")) {
      const std::string_view name = text(*strategy, "truncation.strategy");
      if (name != "LongestFirst" && name != "OnlyFirst") unsupported("truncation strategy " + std::string(name));
    }
  }

  void read_added_tokens(const object& root) {
    const auto tokens = find(root, "added_tokens");
    if (!tokens) return;
    std::size_t bytes = 0;
    for (const element entry : as_array(*tokens, "added_tokens")) {
      const std::string path = "added_tokens[" + std::to_string(parts_.added_tokens.size()) + "]";
      const object token = as_object(entry, path);
      id(need(token, "id", path + ".id"), path + ".id");
      flag(token, "special", path, std::nullopt);
      parts_.added_tokens.push_back({.content = std::string(need_text(token, "content", path)),
                                     .single_word = flag(token, "single_word", path, std::nullopt),
                                     .lstrip = flag(token, "lstrip", path, std::nullopt),
                                     .rstrip = flag(token, "rstrip", path, std::nullopt),
                                     .normalized = flag(token, "normalized", path, std::nullopt)});
      bytes += parts_.added_tokens.back().content.size();
    }
    if (bytes > ByteTrie::kMaxBytes) malformed("added_tokens is implausibly large");
  }

  void read_normalizer(const object& normalizer) {
    const std::string path = "normalizer";
    const std::string_view type = type_of(normalizer, path);
    if (type == "NFC") {
      parts_.normalizers.emplace_back(NfcNormalizer{});
    } else if (type == "BertNormalizer") {
      const bool lowercase = flag(normalizer, "lowercase", path, std::nullopt);
      parts_.normalizers.emplace_back(
          BertNormalizer({.clean_text = flag(normalizer, "clean_text", path, std::nullopt),
                          .handle_chinese_chars = flag(normalizer, "handle_chinese_chars", path, std::nullopt),
                          .strip_accents = flag(normalizer, "strip_accents", path, lowercase),
                          .lowercase = lowercase}));
    } else if (type == "Sequence") {
      for (const element part : as_array(need(normalizer, "normalizers", "normalizer.normalizers"), path)) {
        read_normalizer(as_object(part, "normalizer.normalizers"));
      }
    } else {
      unsupported("normalizer " + std::string(type));
    }
  }

  /// Whether the words are spelled in bytes.
  bool read_pre_tokenizer(const object& root) {
    const auto value = find(root, "pre_tokenizer");
    if (!value) unsupported("a tokenizer without a pre_tokenizer");
    const object pre_tokenizer = as_object(*value, "pre_tokenizer");
    if (type_of(pre_tokenizer, "pre_tokenizer") != "Sequence") {
      return read_pre_tokenizer_step(pre_tokenizer, "pre_tokenizer");
    }
    bool byte_level = false;
    std::size_t index = 0;
    const std::string path = "pre_tokenizer.pretokenizers";
    for (const element step : as_array(need(pre_tokenizer, "pretokenizers", path), path)) {
      const std::string step_path = path + "[" + std::to_string(index++) + "]";
      const object component = as_object(step, step_path);
      if (byte_level) unsupported("pre_tokenizer " + std::string(type_of(component, step_path)) + " after ByteLevel");
      byte_level = read_pre_tokenizer_step(component, step_path);
    }
    return byte_level;
  }

  bool read_pre_tokenizer_step(const object& step, const std::string& path) {
    const std::string type(type_of(step, path));
    const auto set = [&](Splitter splitter) {
      if (!std::holds_alternative<WholeSplitter>(parts_.splitter)) {
        unsupported("pre_tokenizer " + type + " after another that splits");
      }
      parts_.splitter = std::move(splitter);
    };
    if (type == "ByteLevel") {
      if (flag(step, "add_prefix_space", path, std::nullopt))
        unsupported("pre_tokenizer ByteLevel with add_prefix_space");
      if (flag(step, "use_regex", path, true)) set(Gpt2Splitter{});
      return true;
    }
    if (type == "BertPreTokenizer") {
      set(BertSplitter{});
    } else if (type == "Split") {
      const object pattern = as_object(need(step, "pattern", path + ".pattern"), path + ".pattern");
      const auto regex = find(pattern, "Regex");
      if (!regex) unsupported("pre_tokenizer Split by a pattern other than Regex");
      const std::string_view behavior = need_text(step, "behavior", path);
      if (behavior != "Isolated") unsupported("pre_tokenizer Split with behavior " + std::string(behavior));
      if (flag(step, "invert", path, std::nullopt)) unsupported("pre_tokenizer Split with invert");
      set(make_pattern_splitter(std::string(text(*regex, path + ".pattern.Regex")), source_));
    } else {
      unsupported("pre_tokenizer " + type);
    }
    return false;
  }

  void read_post_processor(const object& processor) {
    // Files of old versions of the library name no type.
    const bool is_legacy = !find(processor, "type") && find(processor, "sep") && find(processor, "cls");
    const std::string_view type = is_legacy ? "BertProcessing" : type_of(processor, "post_processor");
    if (type == "ByteLevel") return;  // changes offsets only
    if (type == "TemplateProcessing" || type == "BertProcessing" || type == "RobertaProcessing") {
      if (has_template_) unsupported("post_processor " + std::string(type) + " after another that adds tokens");
      has_template_ = true;
      if (type == "TemplateProcessing") {
        read_template(processor);
      } else {
        parts_.around.before.push_back(token_and_id(processor, "cls"));
        parts_.around.after.push_back(token_and_id(processor, "sep"));
      }
    } else if (type == "Sequence") {
      const std::string path = "post_processor.processors";
      for (const element part : as_array(need(processor, "processors", path), path)) {
        read_post_processor(as_object(part, path));
      }
    } else {
      unsupported("post_processor " + std::string(type));
    }
  }

  /// The id in `"name": ["[CLS]", 101]`.
  std::int32_t token_and_id(const object& processor, std::string_view name) const {
    const std::string path = "post_processor." + std::string(name);
    const array pair = as_array(need(processor, name, path), path);
    if (pair.size() != 2) malformed(path + " is not a token and its id");
    text(pair.at(0).value(), path + "[0]");
    return id(pair.at(1).value(), path + "[1]");
  }

  void read_template(const object& processor) {
    const std::string path = "post_processor.single";
    const object specials =
        as_object(need(processor, "special_tokens", "post_processor.special_tokens"), "post_processor.special_tokens");
    bool seen = false;
    for (const element piece : as_array(need(processor, "single", path), path)) {
      const object parts = as_object(piece, path);
      if (const auto sequence = find(parts, "Sequence")) {
        if (need_text(as_object(*sequence, path), "id", path) != "A" || seen) {
          unsupported("a post_processor template for single texts other than one with $A once");
        }
        seen = true;
        continue;
      }
      const element special = need(parts, "SpecialToken", path + ".SpecialToken");
      const std::string_view name = need_text(as_object(special, path), "id", path);
      const auto known = find(specials, name);
      if (!known) malformed("post_processor.special_tokens lacks " + std::string(name));
      for (const element one : as_array(need(as_object(*known, path), "ids", path + ".ids"), path + ".ids")) {
        (seen ? parts_.around.after : parts_.around.before).push_back(id(one, "post_processor.special_tokens"));
      }
    }
    if (!seen) unsupported("a post_processor template for single texts other than one with $A once");
  }

  /// Files of old versions of the library name no type: as there, the first that the members fit.
  std::string_view model_type(const object& model) const {
    if (find(model, "type")) return type_of(model, "model");
    const auto has = [&](std::string_view name) { return find(model, name).has_value(); };
    if (has("merges")) return "BPE";
    if (has("unk_token") && has("continuing_subword_prefix") && has("max_input_chars_per_word")) return "WordPiece";
    if (has("unk_token")) return "WordLevel";
    if (has("unk_id")) return "Unigram";
    malformed("model.type is missing");
  }

  void read_model(const object& model, bool byte_level) {
    const std::string_view type = model_type(model);
    if (type != "BPE" && type != "WordPiece") unsupported("model " + std::string(type));
    read_vocabulary(as_object(need(model, "vocab", "model.vocab"), "model.vocab"));
    if (type == "BPE") {
      if (!byte_level) unsupported("model BPE without pre_tokenizer ByteLevel");
      read_bpe(model);
    } else {
      if (byte_level) unsupported("model WordPiece with pre_tokenizer ByteLevel");
      read_wordpiece(model);
    }
  }

  void read_vocabulary(const object& vocab) {
    std::size_t tokens = 0;
    std::size_t bytes = 0;
    for (const auto& [token, value] : vocab) {
      ++tokens;
      bytes += token.size();
    }
    if (bytes > ByteTrie::kMaxBytes) malformed("model.vocab is implausibly large");
    parts_.vocabulary.reserve(tokens, bytes);
    for (const auto& [token, value] : vocab) {
      std::int64_t number = -1;
      if (value.get(number) != simdjson::SUCCESS || number < 0 || number > kMaxId) {
        malformed("model.vocab gives '" + std::string(token) + "' an impossible id");
      }
      parts_.vocabulary.set(token, static_cast<std::int32_t>(number));
    }
  }

  std::int32_t unknown_id(std::string_view token) const {
    const std::int32_t found = parts_.vocabulary.find(token);
    if (found < 0) malformed("model.vocab lacks the unk_token '" + std::string(token) + "'");
    return found;
  }

  void read_wordpiece(const object& model) {
    WordPieceOptions options;
    options.unk_id = unknown_id(need_text(model, "unk_token", "model"));
    options.continuing_subword_prefix = need_text(model, "continuing_subword_prefix", "model");
    const auto limit = as<std::uint64_t>(need(model, "max_input_chars_per_word", "model.max_input_chars_per_word"),
                                         "model.max_input_chars_per_word", "a number");
    options.max_input_chars_per_word = limit;
    parts_.model.emplace<WordPiece>(parts_.vocabulary, options);
  }

  void read_bpe(const object& model) {
    BpeOptions options;
    if (const auto dropout = find(model, "dropout");
        dropout && as<double>(*dropout, "model.dropout", "a number") != 0) {
      unsupported("model BPE with dropout");
    }
    for (const std::string_view name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const auto affix = find(model, name);
      if (affix && !text(*affix, "model." + std::string(name)).empty()) {
        unsupported("model BPE with " + std::string(name));
      }
    }
    for (const std::string_view name : {"fuse_unk", "byte_fallback"}) {
      if (flag(model, name, "model", false)) unsupported("model BPE with " + std::string(name));
    }
    options.ignore_merges = flag(model, "ignore_merges", "model", false);
    if (const auto unknown = find(model, "unk_token")) options.unk_id = unknown_id(text(*unknown, "model.unk_token"));
    const array list = as_array(need(model, "merges", "model.merges"), "model.merges");
    std::vector<Bpe::Merge> merges;
    merges.reserve(list.size());
    for (const element merge : list) {
      std::string_view line;
      if (merge.get(line) == simdjson::SUCCESS) {
        if (line.starts_with("#version")) continue;
        const std::size_t space = line.find(' ');
        if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
          malformed("model.merges has '" + std::string(line) + "', which is not two tokens");
        }
        merges.emplace_back(line.substr(0, space), line.substr(space + 1));
        continue;
      }
      const array pair = as_array(merge, "an entry of model.merges");
      if (pair.size() != 2) malformed("model.merges has an entry that is not two tokens");
      merges.emplace_back(text(pair.at(0).value(), "model.merges"), text(pair.at(1).value(), "model.merges"));
    }
    parts_.model.emplace<Bpe>(parts_.vocabulary, merges, options, source_);
  }

  const std::string& source_;
  TokenizerParts& parts_;
  bool has_template_ = false;
};

}  // namespace

void read_tokenizer_json(std::string_view json, const std::string& source, TokenizerParts& parts) {
  Reader reader(source, parts);
  simdjson::dom::parser parser;
  element root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root); error != simdjson::SUCCESS) {
    reader.malformed(std::string("not valid JSON (") + simdjson::error_message(error) + ")");
  }
  object top;
  if (root.get(top) != simdjson::SUCCESS) reader.malformed("the top level is not an object");
  reader.read(top);
}

}  // namespace stella::tokenizer
