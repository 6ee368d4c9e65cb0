#include "tokenizer/tokenizer_file.hpp"

#include "tokenizer/components_file.hpp"
#include "tokenizer/file_fields.hpp"

#include <utility>

namespace stella::tokenizer {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxTokenBytes = 1024;  // of one token; the longest of published vocabularies has 512
constexpr std::size_t kMaxSpecials = 64;      // that the post-processor adds

class Reader : private FileFields {
 public:
  Reader(const std::string& source, TokenizerParts& parts) : FileFields(source), parts_(parts) {}

  void read(const object& root) {
    if (const auto version = find(root, "version"); version && text(*version, "version") != "1.0") {
      unsupported("version " + std::string(text(*version, "version")));
    }
    if (const auto truncation = find(root, "truncation")) read_truncation(as_object(*truncation, "truncation"));
    read_added_tokens(root);
    ComponentReader components(*this, parts_.normalizers, parts_.splitters);
    if (const auto normalizer = find(root, "normalizer")) {
      components.read_normalizer(as_object(*normalizer, "normalizer"));
    }
    const auto pre_tokenizer = find(root, "pre_tokenizer");
    const bool byte_level = pre_tokenizer && components.read_pre_tokenizer(as_object(*pre_tokenizer, "pre_tokenizer"));
    if (const auto processor = find(root, "post_processor")) {
      read_post_processor(as_object(*processor, "post_processor"));
    }
    read_model(as_object(need(root, "model", "model"), "model"), byte_level);
    if (const auto decoder = find(root, "decoder")) read_decoder(*decoder, components);
  }

  using FileFields::malformed;

 private:
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

  /// Whoever only encodes does not mind a decoder that is not implemented.
  void read_decoder(const element& decoder, ComponentReader& components) {
    try {
      components.read_decoder(as_object(decoder, "decoder"), parts_.decoders.emplace());
    } catch (const Error& error) {
      parts_.decoder_error = error;
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
      const bool special = flag(token, "special", path, std::nullopt);
      parts_.added_tokens.push_back({.content = std::string(need_text(token, "content", path)),
                                     .single_word = flag(token, "single_word", path, std::nullopt),
                                     .lstrip = flag(token, "lstrip", path, std::nullopt),
                                     .rstrip = flag(token, "rstrip", path, std::nullopt),
                                     .normalized = flag(token, "normalized", path, std::nullopt),
                                     .special = special});
      bytes += parts_.added_tokens.back().content.size();
      check_added_token(parts_.added_tokens.back().content.size(), bytes, source());
    }
  }

  void read_post_processor(const object& processor) {
    if (++processors_read_ > kMaxComponents) beyond_limit("the number of post_processors is", kMaxComponents);
    // Files of old versions of the library name no type.
    const bool is_legacy = !find(processor, "type") && find(processor, "sep") && find(processor, "cls");
    const std::string_view type = is_legacy ? "BertProcessing" : type_of(processor, "post_processor");
    if (type == "ByteLevel" || type == "RobertaProcessing") read_trim(processor);
    if (type == "ByteLevel") return;
    if (type == "TemplateProcessing" || type == "BertProcessing" || type == "RobertaProcessing") {
      if (has_template_) unsupported("post_processor " + std::string(type) + " after another that adds tokens");
      has_template_ = true;
      if (type == "TemplateProcessing") {
        read_template(processor);
      } else {
        parts_.around.before.push_back(token_and_id(processor, "cls"));
        parts_.around.after.push_back(token_and_id(processor, "sep"));
        joins_template_ = true;
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

  void read_trim(const object& processor) {
    if (!flag(processor, "trim_offsets", "post_processor", true)) return;
    parts_.trims.push_back({.add_prefix_space = flag(processor, "add_prefix_space", "post_processor", true),
                            .after_template = joins_template_});
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
    std::size_t pieces = 0;
    for (const element piece : as_array(need(processor, "single", path), path)) {
      if (++pieces > kMaxSpecials) beyond_limit("the number of pieces in " + path + " is", kMaxSpecials);
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
        if (parts_.around.before.size() + parts_.around.after.size() > kMaxSpecials) {
          beyond_limit("the number of tokens that the post_processor adds is", kMaxSpecials);
        }
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
      if (token.size() > kMaxTokenBytes) {
        beyond_limit("model.vocab has a token of " + std::to_string(token.size()) + " bytes,", kMaxTokenBytes);
      }
    }
    if (bytes > ByteTrie::kMaxBytes) {
      beyond_limit("the tokens of model.vocab have " + std::to_string(bytes) + " bytes,", ByteTrie::kMaxBytes);
    }
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
    options.max_input_chars_per_word = count(need(model, "max_input_chars_per_word", "model.max_input_chars_per_word"),
                                             "model.max_input_chars_per_word");
    parts_.model.emplace<WordPiece>(parts_.vocabulary, options);
  }

  void read_bpe(const object& model) {
    BpeOptions options;
    if (const auto dropout = find(model, "dropout"); dropout && real(*dropout, "model.dropout") != 0) {
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
    parts_.model.emplace<Bpe>(parts_.vocabulary, merges, options, source());
  }

  TokenizerParts& parts_;
  bool has_template_ = false;
  bool joins_template_ = false;      // so that what comes later takes its tokens for the text's
  std::size_t processors_read_ = 0;  // sequences included
};

}  // namespace

void check_added_token(std::size_t bytes, std::size_t bytes_of_all, const std::string& source) {
  const FileFields fields(source);
  if (bytes > kMaxTokenBytes) {
    fields.beyond_limit("added_tokens has a token of " + std::to_string(bytes) + " bytes,", kMaxTokenBytes);
  }
  if (bytes_of_all > ByteTrie::kMaxBytes) fields.beyond_limit("the bytes of added_tokens are", ByteTrie::kMaxBytes);
}

void read_tokenizer_json(std::string_view json, const std::string& source, TokenizerParts& parts) {
  Reader reader(source, parts);
  if (json.size() > kMaxFileBytes) {
    FileFields(source).beyond_limit("the file has " + std::to_string(json.size()) + " bytes,", kMaxFileBytes);
  }
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root); error != simdjson::SUCCESS) {
    if (error == simdjson::MEMALLOC) throw std::bad_alloc();
    reader.malformed(std::string("not valid JSON (") + simdjson::error_message(error) + ")");
  }
  simdjson::dom::object top;
  if (root.get(top) != simdjson::SUCCESS) reader.malformed("the top level is not an object");
  reader.read(top);
}

void prepare_json() {
  simdjson::dom::parser parser;
  static_cast<void>(parser.parse("[]", 2).error());
}

}  // namespace stella::tokenizer
