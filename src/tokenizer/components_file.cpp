#include "tokenizer/components_file.hpp"

#include "base/utf8.hpp"

#include <optional>
#include <utility>

namespace stella::tokenizer {

void ComponentReader::read_normalizer(const object& normalizer) {
  const std::string path = "normalizer";
  if (++normalizers_read_ > FileFields::kMaxComponents) {
    fields_.beyond_limit("the number of normalizers is", FileFields::kMaxComponents);
  }
  const std::string_view type = fields_.type_of(normalizer, path);
  if (type == "Sequence") {
    const std::string list = "normalizer.normalizers";
    for (const FileFields::element part : fields_.as_array(fields_.need(normalizer, "normalizers", list), list)) {
      read_normalizer(fields_.as_object(part, list));
    }
  } else if (type == "BertNormalizer") {
    read_bert_normalizer(normalizer);
  } else if (type == "NFC") {
    normalizers_.emplace_back(NfcNormalizer{});
  } else if (type == "NFD") {
    normalizers_.emplace_back(NfdNormalizer{});
  } else if (type == "Lowercase") {
    normalizers_.emplace_back(LowercaseNormalizer{});
  } else if (type == "StripAccents") {
    normalizers_.emplace_back(StripAccentsNormalizer{});
  } else if (type == "Strip") {
    normalizers_.emplace_back(StripNormalizer(fields_.flag(normalizer, "strip_left", path, std::nullopt),
                                              fields_.flag(normalizer, "strip_right", path, std::nullopt)));
  } else if (type == "Prepend") {
    normalizers_.emplace_back(PrependNormalizer(std::string(fields_.need_text(normalizer, "prepend", path))));
  } else if (type == "Replace") {
    normalizers_.emplace_back(
        ReplaceNormalizer(read_pattern(normalizer, path), std::string(fields_.need_text(normalizer, "content", path))));
  } else {
    fields_.unsupported("normalizer " + std::string(type));
  }
}

void ComponentReader::read_bert_normalizer(const object& normalizer) {
  const std::string path = "normalizer";
  const bool lowercase = fields_.flag(normalizer, "lowercase", path, std::nullopt);
  normalizers_.emplace_back(
      BertNormalizer({.clean_text = fields_.flag(normalizer, "clean_text", path, std::nullopt),
                      .handle_chinese_chars = fields_.flag(normalizer, "handle_chinese_chars", path, std::nullopt),
                      .strip_accents = fields_.flag(normalizer, "strip_accents", path, lowercase),
                      .lowercase = lowercase}));
}

bool ComponentReader::read_pre_tokenizer(const object& pre_tokenizer) {
  if (++pre_tokenizers_read_ > FileFields::kMaxComponents) {
    fields_.beyond_limit("the number of pre_tokenizers is", FileFields::kMaxComponents);
  }
  const std::string_view type = fields_.type_of(pre_tokenizer, "pre_tokenizer");
  if (type == "Sequence") {
    const std::string list = "pre_tokenizer.pretokenizers";
    for (const FileFields::element part : fields_.as_array(fields_.need(pre_tokenizer, "pretokenizers", list), list)) {
      read_pre_tokenizer(fields_.as_object(part, list));
    }
  } else {
    if (byte_level_) fields_.unsupported("pre_tokenizer " + std::string(type) + " after ByteLevel");
    read_step(pre_tokenizer);
  }
  return byte_level_;
}

void ComponentReader::read_step(const object& step) {
  const std::string path = "pre_tokenizer";
  const std::string type(fields_.type_of(step, path));
  if (type == "ByteLevel") {
    read_byte_level(step);
  } else if (type == "BertPreTokenizer") {
    splitters_.emplace_back(BertSplitter{});
  } else if (type == "Whitespace") {
    splitters_.emplace_back(WhitespaceSplitter{});
  } else if (type == "WhitespaceSplit") {
    splitters_.emplace_back(MatchSplitter(CharPattern{kWhite}, MatchBehavior::removed));
  } else if (type == "Punctuation") {
    const auto name = FileFields::find(step, "behavior");
    const auto how = name ? behavior(fields_.text(*name, path + ".behavior"), type) : MatchBehavior::isolated;
    splitters_.emplace_back(MatchSplitter(CharPattern{kPunctuation}, how));
  } else if (type == "Digits") {
    const bool individual = fields_.flag(step, "individual_digits", path, std::nullopt);
    splitters_.emplace_back(
        MatchSplitter(CharPattern{kNumeric}, individual ? MatchBehavior::isolated : MatchBehavior::contiguous));
  } else if (type == "CharDelimiterSplit") {
    std::string delimiter(fields_.need_text(step, "delimiter", path));
    if (delimiter.empty()) fields_.malformed("pre_tokenizer.delimiter is empty");
    splitters_.emplace_back(MatchSplitter(StringPattern{std::move(delimiter)}, MatchBehavior::removed));
  } else if (type == "Split") {
    read_split(step);
  } else {
    fields_.unsupported("pre_tokenizer " + type);
  }
}

void ComponentReader::read_byte_level(const object& step) {
  if (fields_.flag(step, "add_prefix_space", "pre_tokenizer", std::nullopt)) splitters_.emplace_back(PrefixSpace{});
  if (fields_.flag(step, "use_regex", "pre_tokenizer", true)) splitters_.emplace_back(Gpt2Splitter{});
  byte_level_ = true;
}

void ComponentReader::read_split(const object& step) {
  const std::string path = "pre_tokenizer";
  const MatchBehavior how = behavior(fields_.need_text(step, "behavior", path), "Split");
  const bool invert = fields_.flag(step, "invert", path, std::nullopt);
  const object pattern = fields_.as_object(fields_.need(step, "pattern", path + ".pattern"), path + ".pattern");
  const auto regex = FileFields::find(pattern, "Regex");
  if (regex && how == MatchBehavior::isolated) {  // what is no match is a word as well: inverted it is the same
    splitters_.push_back(
        make_pattern_splitter(std::string(fields_.text(*regex, path + ".pattern.Regex")), fields_.source()));
  } else {
    splitters_.emplace_back(MatchSplitter(read_pattern(step, path), how, invert));
  }
}

void ComponentReader::read_decoder(const object& decoder, std::vector<Decoder>& decoders) {
  if (++decoders_read_ > FileFields::kMaxComponents) {
    fields_.beyond_limit("the number of decoders is", FileFields::kMaxComponents);
  }
  const std::string_view type = fields_.type_of(decoder, "decoder");
  if (type != "Sequence") {
    decoders.push_back(make_decoder(type, decoder));
    return;
  }
  const std::string list = "decoder.decoders";
  for (const FileFields::element part : fields_.as_array(fields_.need(decoder, "decoders", list), list)) {
    read_decoder(fields_.as_object(part, list), decoders);
  }
}

Decoder ComponentReader::make_decoder(std::string_view type, const object& decoder) const {
  const std::string path = "decoder";
  const auto text = [&](std::string_view name) { return std::string(fields_.need_text(decoder, name, path)); };
  const auto count = [&](std::string_view name) {
    const std::string member = path + "." + std::string(name);
    return fields_.count(fields_.need(decoder, name, member), member);
  };
  if (type == "ByteLevel") return ByteLevelDecoder{};
  if (type == "ByteFallback") return ByteFallbackDecoder{};
  if (type == "Fuse") return FuseDecoder{};
  if (type == "WordPiece")
    return WordPieceDecoder{text("prefix"), fields_.flag(decoder, "cleanup", path, std::nullopt)};
  if (type == "Replace") return ReplaceDecoder{ReplaceNormalizer(read_pattern(decoder, path), text("content"))};
  if (type == "Strip") {
    StripDecoder strip{text("content"), count("start"), count("stop")};
    if (strip.content.empty() || utf8::decode(strip.content.data()).length != strip.content.size()) {
      fields_.malformed("decoder.content is not one character");
    }
    return strip;
  }
  if (type != "BPEDecoder") fields_.unsupported("decoder " + std::string(type));
  BpeDecoder suffixed{text("suffix")};
  if (suffixed.suffix.empty()) fields_.unsupported("decoder BPEDecoder with an empty suffix");
  return suffixed;
}

Pattern ComponentReader::read_pattern(const object& component, const std::string& path) const {
  const object pattern = fields_.as_object(fields_.need(component, "pattern", path + ".pattern"), path + ".pattern");
  if (const auto regex = FileFields::find(pattern, "Regex")) {
    return RegexSplitter(std::string(fields_.text(*regex, path + ".pattern.Regex")), fields_.source());
  }
  const auto string = FileFields::find(pattern, "String");
  if (!string) fields_.unsupported(path + " with a pattern other than Regex or String");
  std::string wanted(fields_.text(*string, path + ".pattern.String"));
  if (wanted.empty()) fields_.unsupported(path + " with an empty pattern");
  return StringPattern{std::move(wanted)};
}

MatchBehavior ComponentReader::behavior(std::string_view name, const std::string& component) const {
  if (name == "Removed") return MatchBehavior::removed;
  if (name == "Isolated") return MatchBehavior::isolated;
  if (name == "MergedWithPrevious") return MatchBehavior::merged_with_previous;
  if (name == "MergedWithNext") return MatchBehavior::merged_with_next;
  if (name == "Contiguous") return MatchBehavior::contiguous;
  fields_.unsupported("pre_tokenizer " + component + " with behavior " + std::string(name));
}

}  // namespace stella::tokenizer
