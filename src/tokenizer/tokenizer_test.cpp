#include "tokenizer/tokenizer.hpp"

#include "base/json.hpp"
#include "stella/error.hpp"
#include "tokenizer/budget.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::tokenizer {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Ids = std::vector<std::int32_t>;

// Expected ids: the same files in tokenizers 0.23.3.

constexpr const char* kWordPiece = R"json({
  "version": "1.0", "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
  "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
              "pad_type_id": 0, "pad_token": "[UNK]"},
  "added_tokens": [],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                 "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
                       "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
  "decoder": null,
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 10,
    "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##aff": 4, "##able": 5, "affable": 6, "##a": 7, "a": 8,
              "##b": 9, "##": 10, "##able.": 11, "\u00e9": 12}}
})json";

constexpr const char* kBpe = R"json({
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "post_processor": null, "decoder": null,
  "model": {"type": "BPE",
    "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "\u0120": 4, "bc": 5, "ab": 6, "abc": 7, "cd": 8, "aa": 9, "aaa": 10,
              "\u0120a": 11, "!": 12},
    "merges": ["b c", "a b", "ab c", "c d", "a a", "aa a", "\u0120 a"]}
})json";

Tokenizer make(const json::value& file) {
  return Tokenizer::from_json(json::serialize(file), "tokenizer.json");
}

/// The file with one member of its objects replaced or added.
json::value changed(const char* file, std::string_view pointer, std::string_view value) {
  json::value result = json::parse(file);
  json::value* at = &result;
  while (!pointer.empty()) {
    const std::size_t end = pointer.find('/', 1);
    at = &at->as_object()[pointer.substr(1, end - 1)];
    pointer.remove_prefix(std::min(end, pointer.size()));
  }
  *at = json::parse(value);
  return result;
}

Ids ids(const Tokenizer& tokenizer, std::string_view text, bool special = true) {
  return tokenizer.encode(text, {.add_special_tokens = special}).ids;
}

/// The error that reading gives.
Error refused(const json::value& file) {
  try {
    make(file);
  } catch (const Error& error) {
    return error;
  }
  return Error(Errc::invalid_argument, "accepted");
}

/// The error that encoding gives.
Error refused_text(const Tokenizer& tokenizer, std::string_view text) {
  try {
    tokenizer.encode(text);
  } catch (const Error& error) {
    return error;
  }
  return Error(Errc::invalid_argument, "encoded");
}

json::value split_file(const std::string& pattern) {
  json::value file = json::parse(kBpe);
  json::object split{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  json::object bytes{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  file.as_object()["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", json::array{split, bytes}}};
  return file;
}

TEST(WordPieceTokenizer, LongestMatchFirst) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  EXPECT_THAT(ids(tokenizer, "unaffable"), ElementsAre(1, 3, 4, 5, 2));
  EXPECT_THAT(ids(tokenizer, "unaffable affable"), ElementsAre(1, 3, 4, 5, 6, 2));
  EXPECT_THAT(ids(tokenizer, "unaff unaff"), ElementsAre(1, 3, 4, 3, 4, 2));
  EXPECT_THAT(ids(tokenizer, "ab"), ElementsAre(1, 8, 9, 2));
  EXPECT_THAT(ids(tokenizer, ""), ElementsAre(1, 2));
}

TEST(WordPieceTokenizer, UnknownWords) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  EXPECT_THAT(ids(tokenizer, "unx"), ElementsAre(1, 0, 2));
  EXPECT_THAT(ids(tokenizer, "\u00e9a"), ElementsAre(1, 0, 2));
  EXPECT_THAT(ids(tokenizer, "aaaaaaaaaa"), ElementsAre(1, 8, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2));
  EXPECT_THAT(ids(tokenizer, "aaaaaaaaaaa"), ElementsAre(1, 0, 2));
}

TEST(WordPieceTokenizer, TruncationKeepsSpecialTokens) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  const auto cut = [&](std::size_t length) {
    const Encoding encoding = tokenizer.encode("unaffable affable", {.max_length = length});
    EXPECT_EQ(encoding.full_tokens, 6U);
    EXPECT_EQ(encoding.truncated(), length < 6);
    return encoding.ids;
  };
  EXPECT_THAT(cut(2), ElementsAre(1, 2));
  EXPECT_THAT(cut(3), ElementsAre(1, 3, 2));
  EXPECT_THAT(cut(4), ElementsAre(1, 3, 4, 2));
  EXPECT_THAT(cut(5), ElementsAre(1, 3, 4, 5, 2));
  EXPECT_THAT(cut(6), ElementsAre(1, 3, 4, 5, 6, 2));
  EXPECT_THAT(cut(7), ElementsAre(1, 3, 4, 5, 6, 2));
  EXPECT_EQ(tokenizer.special_tokens_per_text(), 2U);
}

TEST(WordPieceTokenizer, TruncationWithoutSpecialTokens) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  const Encoding encoding = tokenizer.encode("unaffable", {.max_length = 2, .add_special_tokens = false});
  EXPECT_THAT(encoding.ids, ElementsAre(3, 4));
  EXPECT_EQ(encoding.full_tokens, 3U);
  EXPECT_THAT(tokenizer.encode("unaffable", {.max_length = 0, .add_special_tokens = false}).ids, SizeIs(0));
}

TEST(WordPieceTokenizer, TruncationOnTheLeftWhereTheFileOrTheCallerSaysSo) {
  const auto file = [](const char* truncation) { return make(changed(kWordPiece, "/truncation", truncation)); };
  const char* const left = R"({"direction": "Left", "max_length": 3, "strategy": "OnlyFirst", "stride": 2})";
  const auto cut = [](const Tokenizer& tokenizer, std::size_t length,
                      std::optional<TruncationSide> side = std::nullopt) {
    const Encoding encoding = tokenizer.encode("unaffable a", {.max_length = length, .truncation_side = side});
    EXPECT_EQ(encoding.full_tokens, 6U);
    return encoding.ids;
  };
  const Tokenizer tokenizer = file(left);
  EXPECT_EQ(tokenizer.truncation_side(), TruncationSide::left);
  EXPECT_THAT(cut(tokenizer, 2), ElementsAre(1, 2));
  EXPECT_THAT(cut(tokenizer, 3), ElementsAre(1, 8, 2));
  EXPECT_THAT(cut(tokenizer, 5), ElementsAre(1, 4, 5, 8, 2));
  EXPECT_THAT(cut(tokenizer, 6), ElementsAre(1, 3, 4, 5, 8, 2));
  EXPECT_THAT(cut(tokenizer, 3, TruncationSide::right), ElementsAre(1, 3, 2));
  EXPECT_THAT(cut(make(json::parse(kWordPiece)), 3, TruncationSide::left), ElementsAre(1, 8, 2));
  EXPECT_THAT(tokenizer.encode("unaffable a", {.max_length = 2, .add_special_tokens = false}).ids, ElementsAre(5, 8));
  EXPECT_EQ(file("null").truncation_side(), TruncationSide::right);
}

TEST(WordPieceTokenizer, ProcessorsOfBertAndRoberta) {
  for (const char* processor :
       {R"({"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})",
        R"({"sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})",
        R"({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": true,
            "add_prefix_space": false})",
        R"({"type": "Sequence", "processors": [
              {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false},
              {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}]})"}) {
    const Tokenizer tokenizer = make(changed(kWordPiece, "/post_processor", processor));
    EXPECT_THAT(ids(tokenizer, "unaffable a"), ElementsAre(1, 3, 4, 5, 8, 2)) << processor;
    EXPECT_THAT(tokenizer.encode("unaffable a", {.max_length = 4}).ids, ElementsAre(1, 3, 4, 2)) << processor;
    EXPECT_EQ(tokenizer.special_tokens_per_text(), 2U);
  }
}

using Place = std::array<std::size_t, 3>;  // id, start, stop; without those of special tokens

std::vector<Place> places(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  options.offsets = true;
  const Encoding encoding = tokenizer.encode(text, options);
  EXPECT_EQ(encoding.offsets.size(), encoding.ids.size());
  EXPECT_EQ(encoding.special.size(), encoding.ids.size());
  options.offsets = false;
  const Encoding plain = tokenizer.encode(text, options);
  EXPECT_EQ(encoding.ids, plain.ids) << "offsets change no ids";
  EXPECT_EQ(encoding.full_tokens, plain.full_tokens);
  EXPECT_THAT(plain.offsets, IsEmpty());
  EXPECT_THAT(plain.special, IsEmpty());
  std::vector<Place> result;
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    const TokenOffsets& offsets = encoding.offsets[i];
    if (encoding.special[i]) {
      EXPECT_EQ(offsets, TokenOffsets{});
    } else {
      result.push_back({static_cast<std::size_t>(encoding.ids[i]), offsets.start, offsets.stop});
    }
  }
  EXPECT_EQ(encoding.ids.size() - result.size(), options.add_special_tokens ? tokenizer.special_tokens_per_text() : 0);
  return result;
}

TEST(Offsets, OfWords) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  const std::string text = "Un\u00e4ffable  \u00c9x a";
  const std::vector<Place> all = {{3, 0, 2}, {4, 2, 6}, {5, 6, 10}, {0, 12, 15}, {8, 16, 17}};
  EXPECT_EQ(places(tokenizer, text), all);
  EXPECT_EQ(places(tokenizer, text, {.add_special_tokens = false}), all);
  EXPECT_THAT(places(tokenizer, text, {.max_length = 4}), ElementsAre(all[0], all[1]));
  EXPECT_THAT(places(tokenizer, text, {.max_length = 4, .truncation_side = TruncationSide::left}),
              ElementsAre(all[3], all[4]));
  EXPECT_THAT(places(tokenizer, std::string_view("\0un\u00e1fF\u200dable", 14)),
              ElementsAre(Place{3, 1, 3}, Place{4, 3, 7}, Place{5, 10, 14}));
  EXPECT_THAT(places(tokenizer, ""), IsEmpty());
}

TEST(Offsets, OfTokensThatSplitACharacter) {
  json::value file = json::parse(kBpe);
  json::object& model = file.as_object()["model"].as_object();
  json::object& vocabulary = model["vocab"].as_object();
  vocabulary["\u00c3"] = 13;
  vocabulary["\u00a9"] = 14;
  vocabulary["a\u00c3"] = 15;
  model["merges"].as_array().push_back("a \u00c3");
  EXPECT_THAT(places(make(file), "be\u0301a\u00e9c"), ElementsAre(Place{1, 0, 1}, Place{13, 1, 2}, Place{14, 1, 2},
                                                                  Place{15, 4, 7}, Place{14, 5, 7}, Place{2, 7, 8}));
  EXPECT_THAT(places(make(json::parse(kBpe)), " abc a\u00e9"),
              ElementsAre(Place{11, 0, 2}, Place{5, 2, 4}, Place{11, 4, 6}));
}

TEST(Decoding, ADecoderThatIsNotThereIsMissedOnlyByDecoding) {
  const auto outcome = [](const char* decoder) {
    const Tokenizer tokenizer = make(changed(kWordPiece, "/decoder", decoder));
    EXPECT_THAT(ids(tokenizer, "a"), ElementsAre(1, 8, 2)) << decoder;
    try {
      tokenizer.decode(Ids{8});
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("tokenizer.json")) << decoder;
      return std::pair(error.errc(), std::string(error.what()));
    }
    return std::pair(Errc::invalid_argument, std::string("decoded"));
  };
  using ::testing::Pair;
  EXPECT_THAT(outcome(R"({"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": true})"),
              Pair(Errc::unsupported_model, HasSubstr("decoder CTC")));
  EXPECT_THAT(outcome(R"({"type": "BPEDecoder", "suffix": ""})"), Pair(Errc::unsupported_model, HasSubstr("suffix")));
  EXPECT_THAT(outcome(R"({"type": "Replace", "pattern": {"Regex": "^a"}, "content": ""})"),
              Pair(Errc::unsupported_model, HasSubstr("pattern")));
  EXPECT_THAT(outcome(R"({"type": "WordPiece", "prefix": "##"})"),
              Pair(Errc::malformed_file, HasSubstr("decoder.cleanup is missing")));
  EXPECT_THAT(outcome(R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})"),
              Pair(Errc::malformed_file, HasSubstr("decoder.content")));
  EXPECT_THAT(outcome(R"("Fuse")"), Pair(Errc::malformed_file, HasSubstr("decoder is not an object")));
}

TEST(Decoding, IdsThatDoNotExistAreLeftOut) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  EXPECT_EQ(tokenizer.decode(Ids{3, -1, 4, 13, 1'000'000'000, 1}), "un ##aff [CLS]");
  EXPECT_EQ(tokenizer.decode(Ids{-1}), "");
  EXPECT_EQ(tokenizer.decode(Ids{}), "");
}

TEST(Decoding, WhereTheLibraryPanics) {
  const Tokenizer strip = make(changed(kWordPiece, "/decoder", R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "affable"}, "content": ""},
      {"type": "Strip", "content": "a", "start": 2, "stop": 2}]})"));
  EXPECT_EQ(strip.decode(Ids{6, 8, 3, 8}), "un");
  EXPECT_EQ(make(changed(kWordPiece, "/decoder", R"({"type": "BPEDecoder", "suffix": "n"})")).decode(Ids{}), "");
}

TEST(Tokenizer, ModelsWithoutAType) {
  const auto without_type = [](const char* file) {
    json::value result = json::parse(file);
    result.as_object()["model"].as_object().erase("type");
    return result;
  };
  EXPECT_THAT(ids(make(without_type(kWordPiece)), "unaffable a"), ElementsAre(1, 3, 4, 5, 8, 2));
  EXPECT_THAT(ids(make(without_type(kBpe)), " abc a"), ElementsAre(11, 5, 11));
  json::value file = without_type(kWordPiece);
  file.as_object()["model"].as_object().erase("max_input_chars_per_word");
  EXPECT_THAT(refused(file).what(), HasSubstr("model WordLevel"));
  file.as_object()["model"].as_object().erase("unk_token");
  EXPECT_THAT(refused(file).what(), HasSubstr("model.type is missing"));
}

TEST(Tokenizer, EncodingEndsWhenItIsCancelled) {
  const Tokenizer tokenizer = make(split_file("a+?b"));  // minutes, but for the limit on steps
  const std::string text(std::size_t{1} << 20, 'a');
  const auto outcome = [&](const std::atomic<bool>& cancelled) {
    try {
      tokenizer.encode(text, {.cancelled = &cancelled});
    } catch (const Error& error) {
      return error.errc();
    }
    return Errc::invalid_argument;
  };
  std::atomic<bool> cancelled{true};
  EXPECT_EQ(outcome(cancelled), Errc::cancelled);
  cancelled = false;
  EXPECT_EQ(outcome(cancelled), Errc::limit_exceeded);
}

TEST(Budget, LooksAtTheFlagNowAndThen) {
  std::atomic<bool> cancelled{false};
  Budget budget(1000, &cancelled);
  EXPECT_TRUE(budget.spend(1));
  cancelled = true;
  const auto fails = [&] {
    for (int i = 0; i < 1000; ++i) {
      if (!budget.spend(1)) return true;
    }
    return false;
  };
  EXPECT_TRUE(fails());
  try {
    budget.check("a part");
    FAIL() << "goes on";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::cancelled);
  }
}

TEST(WordPieceTokenizer, NoRoomForSpecialTokens) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  try {
    tokenizer.encode("a", {.max_length = 1});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("2 special tokens"));
  }
}

TEST(BpeTokenizer, EarlierMergesFirst) {
  const Tokenizer tokenizer = make(json::parse(kBpe));
  EXPECT_THAT(ids(tokenizer, "abc"), ElementsAre(0, 5));
  EXPECT_THAT(ids(tokenizer, "abcd"), ElementsAre(0, 5, 3));
  EXPECT_THAT(ids(tokenizer, "bcd"), ElementsAre(5, 3));
  EXPECT_THAT(ids(tokenizer, "abab"), ElementsAre(6, 6));
  EXPECT_THAT(ids(tokenizer, "cdcd"), ElementsAre(8, 8));
  EXPECT_THAT(ids(tokenizer, " abc a"), ElementsAre(11, 5, 11));
}

TEST(BpeTokenizer, EqualMergesFromTheLeft) {
  const Tokenizer tokenizer = make(json::parse(kBpe));
  EXPECT_THAT(ids(tokenizer, "aaaa"), ElementsAre(9, 9));
  EXPECT_THAT(ids(tokenizer, "aaaaa"), ElementsAre(9, 10));
  EXPECT_THAT(ids(tokenizer, "aaaaaaa"), ElementsAre(9, 9, 10));
}

TEST(BpeTokenizer, LongWordsAsShortOnes) {
  const Tokenizer tokenizer = make(json::parse(kBpe));
  std::string text;
  Ids expected;
  for (int i = 0; i < 20; ++i) {
    text += "abc";
    expected.insert(expected.end(), {0, 5});
  }
  expected.push_back(10);
  EXPECT_EQ(ids(tokenizer, text + "aaa"), expected);
}

TEST(BpeTokenizer, BytesWithoutTokens) {
  EXPECT_THAT(ids(make(json::parse(kBpe)), "axb"), ElementsAre(6));
  EXPECT_THAT(ids(make(changed(kBpe, "/model/unk_token", R"("!")")), "axxb"), ElementsAre(0, 12, 12, 1));
}

TEST(BpeTokenizer, IgnoreMerges) {
  const Tokenizer tokenizer = make(changed(kBpe, "/model/ignore_merges", "true"));
  EXPECT_THAT(ids(tokenizer, "abc"), ElementsAre(7));
  EXPECT_THAT(ids(tokenizer, "abcd"), ElementsAre(0, 5, 3));
}

TEST(BpeTokenizer, MergesAsPairs) {
  const Tokenizer tokenizer = make(changed(kBpe, "/model/merges", R"([["b", "c"], ["a", "b"], ["ab", "c"]])"));
  EXPECT_THAT(ids(tokenizer, "abcab"), ElementsAre(0, 5, 6));
}

TEST(AddedTokens, OfEveryKind) {
  const auto token = [](std::string_view content, json::object settings = {}) {
    json::object entry{{"id", 90},        {"content", content},  {"single_word", false}, {"lstrip", false},
                       {"rstrip", false}, {"normalized", false}, {"special", true}};
    for (const auto& [name, value] : settings) entry[name] = value;
    return entry;
  };
  json::value file = json::parse(kWordPiece);
  file.as_object()["added_tokens"] = {token("[CLS]"),
                                      token("[SEP]"),
                                      token("un"),
                                      token("<x>"),
                                      token("Day", {{"normalized", true}, {"special", false}}),
                                      token(" L", {{"lstrip", true}}),
                                      token("R", {{"rstrip", true}}),
                                      token("S", {{"single_word", true}}),
                                      token("<x>>"),
                                      token("")};
  const Tokenizer tokenizer = make(file);
  EXPECT_THAT(ids(tokenizer, "a[CLS]b", false), ElementsAre(8, 1, 0));
  EXPECT_THAT(ids(tokenizer, "[cls]", false), ElementsAre(0, 0, 0));
  EXPECT_THAT(ids(tokenizer, "unaffable", false), ElementsAre(3, 6));
  EXPECT_THAT(ids(tokenizer, "<x>>><x>", false), ElementsAre(18, 0, 13));
  EXPECT_THAT(ids(tokenizer, "day DAY Day", false), ElementsAre(14, 14, 14));
  EXPECT_THAT(ids(tokenizer, "a   La", false), ElementsAre(8, 15, 8));
  EXPECT_THAT(ids(tokenizer, "a R   a", false), ElementsAre(8, 16, 8));
  EXPECT_THAT(ids(tokenizer, "aSa S a,S", false), ElementsAre(0, 17, 8, 0, 17));
  EXPECT_EQ(tokenizer.id_to_token(3), "un");
  EXPECT_EQ(tokenizer.id_to_token(12), "\u00e9");
  EXPECT_EQ(tokenizer.id_to_token(14), "day");
  EXPECT_EQ(tokenizer.id_to_token(18), "<x>>");
  EXPECT_EQ(tokenizer.id_to_token(19), "");
  EXPECT_EQ(tokenizer.id_to_token(-1), "");
}

TEST(Tokenizer, InvalidUtf8NamesTheByte) {
  const Tokenizer tokenizer = make(json::parse(kBpe));
  try {
    tokenizer.encode("ab\xff");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::invalid_utf8);
    EXPECT_THAT(error.what(), HasSubstr("byte 2"));
  }
}

TEST(Tokenizer, UnsupportedComponentsAreNamed) {
  const auto expect = [](const char* file, const char* pointer, const char* value, const char* name) {
    const Error error = refused(changed(file, pointer, value));
    EXPECT_EQ(error.errc(), Errc::unsupported_model) << pointer << " = " << value;
    EXPECT_THAT(error.what(), AllOf(HasSubstr(name), HasSubstr("tokenizer.json"))) << pointer << " = " << value;
  };
  expect(kBpe, "/version", R"("2.0")", "version 2.0");
  expect(kBpe, "/normalizer", R"({"type": "Precompiled"})", "normalizer Precompiled");
  expect(kBpe, "/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFKC"}]})", "normalizer NFKC");
  expect(kBpe, "/normalizer", R"({"type": "ByteLevel"})", "normalizer ByteLevel");
  expect(kBpe, "/pre_tokenizer", "null", "model BPE without pre_tokenizer ByteLevel");
  expect(kBpe, "/pre_tokenizer", R"({"type": "Metaspace"})", "pre_tokenizer Metaspace");
  expect(kBpe, "/pre_tokenizer", R"({"type": "UnicodeScripts"})", "pre_tokenizer UnicodeScripts");
  expect(kBpe, "/pre_tokenizer", R"({"type": "BertPreTokenizer"})", "model BPE without");
  expect(kBpe, "/pre_tokenizer",
         R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Doubled", "invert": false})", "behavior Doubled");
  expect(kBpe, "/pre_tokenizer",
         R"({"type": "Split", "pattern": {"Glob": "a"}, "behavior": "Isolated", "invert": false})",
         "other than Regex or String");
  expect(kBpe, "/pre_tokenizer",
         R"({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false})", "empty pattern");
  expect(kBpe, "/pre_tokenizer",
         R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false},
                                                   {"type": "Digits", "individual_digits": true}]})",
         "pre_tokenizer Digits after ByteLevel");
  expect(kBpe, "/post_processor", R"({"type": "PairProcessing"})", "post_processor PairProcessing");
  expect(kBpe, "/post_processor",
         R"({"type": "Sequence", "processors": [{"type": "BertProcessing", "sep": ["b", 1], "cls": ["a", 0]},
                                                {"type": "RobertaProcessing", "sep": ["b", 1], "cls": ["a", 0]}]})",
         "post_processor RobertaProcessing after another");
  expect(kBpe, "/truncation", R"({"direction": "Left", "max_length": 3, "strategy": "OnlySecond", "stride": 0})",
         "truncation strategy OnlySecond");
  expect(kWordPiece, "/post_processor/single", R"([{"Sequence": {"id": "B", "type_id": 0}}])", "$A once");
  expect(kBpe, "/model/type", R"("Unigram")", "model Unigram");
  expect(kBpe, "/model/dropout", "0.1", "dropout");
  expect(kBpe, "/model/fuse_unk", "true", "fuse_unk");
  expect(kBpe, "/model/byte_fallback", "true", "byte_fallback");
  expect(kBpe, "/model/continuing_subword_prefix", R"("@@")", "continuing_subword_prefix");
  expect(kBpe, "/model/end_of_word_suffix", R"("</w>")", "end_of_word_suffix");
  expect(kWordPiece, "/pre_tokenizer", R"({"type": "ByteLevel", "add_prefix_space": false})", "model WordPiece with");
}

TEST(Tokenizer, MalformedFilesSayWhere) {
  const auto expect = [](const json::value& file, const char* where) {
    const Error error = refused(file);
    EXPECT_EQ(error.errc(), Errc::malformed_file) << where;
    EXPECT_THAT(error.what(), AllOf(HasSubstr(where), HasSubstr("tokenizer.json"))) << where;
    EXPECT_EQ(error.context().file, "tokenizer.json");
  };
  expect(json::array{}, "the top level is not an object");
  expect(changed(kBpe, "/model", "null"), "model is missing");
  expect(changed(kBpe, "/truncation", R"({"direction": "left"})"), "truncation.direction is neither");
  expect(changed(kBpe, "/post_processor", R"({"type": "BertProcessing", "sep": ["[SEP]", 2]})"),
         "post_processor.cls is missing");
  expect(changed(kBpe, "/post_processor", R"({"type": "BertProcessing", "sep": ["[SEP]"], "cls": ["a", 0]})"),
         "post_processor.sep is not a token and its id");
  expect(changed(kBpe, "/model/vocab", "[]"), "model.vocab is not an object");
  expect(changed(kBpe, "/model/vocab/a", "-1"), "'a' an impossible id");
  expect(changed(kBpe, "/model/vocab/a", "99999999"), "'a' an impossible id");
  expect(changed(kBpe, "/model/merges", "null"), "model.merges is missing");
  expect(changed(kBpe, "/model/merges", R"(["a b c"])"), "'a b c', which is not two tokens");
  expect(changed(kBpe, "/model/merges", R"([["a"]])"), "not two tokens");
  expect(changed(kBpe, "/model/merges", R"(["a b", "a d"])"), "merge 1 (ad)");
  expect(changed(kBpe, "/model/unk_token", R"("?")"), "unk_token '?'");
  expect(changed(kWordPiece, "/model/unk_token", "null"), "model.unk_token is missing");
  expect(changed(kWordPiece, "/model/max_input_chars_per_word", "-1"), "max_input_chars_per_word is not a number");
  expect(changed(kWordPiece, "/normalizer/lowercase", R"("yes")"), "normalizer.lowercase is not true or false");
  expect(changed(kWordPiece, "/post_processor/special_tokens", "{}"), "lacks [CLS]");
  expect(changed(kWordPiece, "/added_tokens", R"([{"id": 1}])"), "added_tokens[0].special is missing");
}

TEST(Tokenizer, BrokenJson) {
  const std::string whole = kWordPiece;
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    try {
      Tokenizer::from_json(std::string_view(whole).substr(0, size), "tokenizer.json");
      FAIL() << size << " bytes were accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file) << size;
    }
  }
}

TEST(Tokenizer, MissingFile) {
  try {
    Tokenizer::from_file("no/such/tokenizer.json");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::io_error);
    EXPECT_THAT(error.what(), HasSubstr("no/such/tokenizer.json"));
  }
}

// What is quadratic anywhere does not finish within the test's time limit.
TEST(Tokenizer, HostileTextsTakeLinearTime) {
  const Tokenizer bpe = make(json::parse(kBpe));
  const Tokenizer wordpiece = make(json::parse(kWordPiece));
  constexpr std::size_t kSize = std::size_t{1} << 20;
  const auto repeat = [](std::string_view piece, std::size_t times) {
    std::string text;
    for (std::size_t i = 0; i < times; ++i) text += piece;
    return text;
  };
  EXPECT_THAT(ids(bpe, std::string(kSize, 'a')), AllOf(SizeIs(kSize / 2), Each(9)));
  EXPECT_THAT(ids(bpe, std::string(kSize, ' ')), AllOf(SizeIs(kSize), Each(4)));
  EXPECT_THAT(ids(bpe, repeat(" \n", kSize)), SizeIs(kSize));
  EXPECT_THAT(ids(bpe, std::string("!").append(repeat("\u0301\u0323", kSize / 4))), ElementsAre(12));
  EXPECT_THAT(ids(wordpiece, std::string(kSize, 'a')), ElementsAre(1, 0, 2));
  EXPECT_THAT(ids(wordpiece, std::string(kSize, ' ')), ElementsAre(1, 2));
  EXPECT_THAT(ids(wordpiece, std::string(kSize, '!'), false), AllOf(SizeIs(kSize), Each(0)));
  EXPECT_THAT(ids(wordpiece, std::string("a").append(repeat("\u302e\u0323\u302a", kSize / 8))), ElementsAre(1, 0, 2));
}

TEST(TokenizerLimits, PatternsThatAreNotLinear) {
  const std::string text(std::size_t{1} << 20, 'a');
  for (const char* pattern : {"a*a*[bc]", "a*b", "(?:a*)*b", "(?:a|aa)*b", "a*a*+[bc]", "(?:a+)+b", "(?=a*b)a|a",
                              "(?!a*b)a", "a+?b", "(?:a{0,200}){0,200}b", R"(\s*\S*\s*\S*b)", "[^b]*b|a"}) {
    const Error error = refused_text(make(split_file(pattern)), text);
    EXPECT_EQ(error.errc(), Errc::limit_exceeded) << pattern;
    EXPECT_THAT(error.what(), AllOf(HasSubstr("pattern"), HasSubstr("1048576 bytes"))) << pattern;
  }
  EXPECT_THAT(ids(make(split_file("a*a*[bc]")), "aab a"), ElementsAre(0, 6, 11));
}

TEST(TokenizerLimits, StepsAreCountedForTheWholeText) {
  json::value file = split_file("a");
  json::array steps;
  for (int i = 0; i < 29; ++i) steps.push_back(file.at("pre_tokenizer").at("pretokenizers").at(0));
  steps.push_back(file.at("pre_tokenizer").at("pretokenizers").at(1));
  file.as_object()["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  EXPECT_EQ(refused_text(make(file), std::string(std::size_t{1} << 20, 'a')).errc(), Errc::limit_exceeded);
}

TEST(TokenizerLimits, LongTokensAreNotLookedForAgainAndAgain) {
  const std::string text(std::size_t{1} << 20, 'a');
  json::value file = json::parse(kWordPiece);
  json::object& model = file.as_object()["model"].as_object();
  model["max_input_chars_per_word"] = 1'000'000'000;
  model["vocab"].as_object()["##" + std::string(1000, 'a') + "x"] = 13;
  EXPECT_THAT(refused_text(make(file), text).what(), HasSubstr("model WordPiece"));
  file = json::parse(kWordPiece);
  json::object token{{"id", 0},
                     {"content", std::string(1000, 'a') + "x"},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", false}};
  file.as_object()["added_tokens"] = {token};
  EXPECT_THAT(refused_text(make(file), text).what(), HasSubstr("added_tokens"));
}

TEST(TokenizerLimits, WhitespaceIsSwallowedInLinearTime) {
  json::object token{{"id", 0},        {"content", " "},      {"single_word", false}, {"lstrip", true},
                     {"rstrip", true}, {"normalized", false}, {"special", false}};
  json::value file = json::parse(kWordPiece);
  file.as_object()["added_tokens"] = {token};
  EXPECT_THAT(ids(make(file), std::string(std::size_t{1} << 20, ' '), false), SizeIs(std::size_t{1} << 20));
}

TEST(TokenizerLimits, WhatANormalizerAdds) {
  const std::string long_text(200'000, 'a');
  const json::object replace{{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(100, 'a')}};
  json::value file = json::parse(kWordPiece);
  file.as_object()["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array(8, replace)}};
  EXPECT_THAT(refused_text(make(file), long_text).what(), HasSubstr("normalizer Replace"));
  file.as_object()["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(2'000'000, 'a')}};
  EXPECT_THAT(refused_text(make(file), long_text).what(), HasSubstr("normalizer Prepend"));
}

TEST(TokenizerLimits, WhatADecoderAdds) {
  const json::object replace{{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(1000, 'a')}};
  json::value file = json::parse(kWordPiece);
  file.as_object()["decoder"] = {{"type", "Sequence"}, {"decoders", json::array(8, replace)}};
  try {
    make(file).decode(Ids{8});
    FAIL() << "decoded";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::limit_exceeded);
  }
}

TEST(TokenizerLimits, PartsOfTheFile) {
  const auto expect = [](const json::value& file, const char* what) {
    const Error error = refused(file);
    EXPECT_EQ(error.errc(), Errc::limit_exceeded) << what;
    EXPECT_THAT(error.what(), AllOf(HasSubstr(what), HasSubstr("tokenizer.json"))) << what;
  };
  const auto many = [](const char* file, const char* part, const char* list, const char* entry) {
    json::value result = json::parse(file);
    result.as_object()[part] = {{"type", "Sequence"}, {list, json::array(100'000, json::parse(entry))}};
    return result;
  };
  expect(many(kWordPiece, "normalizer", "normalizers", R"({"type": "NFC"})"), "number of normalizers");
  expect(many(kWordPiece, "pre_tokenizer", "pretokenizers", R"({"type": "Whitespace"})"), "number of pre_tokenizers");
  expect(many(kWordPiece, "post_processor", "processors", R"({"type": "ByteLevel"})"), "number of post_processors");
  json::value nested = json::parse(R"({"type": "NFC"})");
  for (int i = 0; i < 200; ++i) nested = {{"type", "Sequence"}, {"normalizers", json::array(1, nested)}};
  json::value file = json::parse(kWordPiece);
  file.as_object()["normalizer"] = nested;
  expect(file, "number of normalizers");
  const Tokenizer decoders = make(many(kWordPiece, "decoder", "decoders", R"({"type": "Fuse"})"));
  EXPECT_THAT(ids(decoders, "a"), ElementsAre(1, 8, 2));
  EXPECT_THROW(decoders.decode(Ids{8}), Error);

  file = json::parse(kWordPiece);
  file.as_object()["model"].as_object()["vocab"].as_object()[std::string(1'000'000, 'a')] = 13;
  expect(file, "model.vocab has a token of 1000000 bytes");
  std::string classes;
  for (int i = 0; i < 20'000; ++i) classes += R"(\p{L})";
  expect(split_file(classes), "Split pattern has 100000 bytes");
  expect(split_file(classes.substr(0, 15'000)), "Split pattern has character classes");
  std::string groups;
  for (int i = 0; i < 1000; ++i) groups += "(?:";
  expect(split_file(groups), "groups within each other");
  file = json::parse(kWordPiece);
  file.as_object()["post_processor"].as_object()["special_tokens"].as_object()["[CLS]"].as_object()["ids"] =
      json::array(100'000, 1);
  expect(file, "number of tokens that the post_processor adds");
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const Tokenizer tokenizer = make(json::parse(kWordPiece));
  const Ids alone = ids(tokenizer, "unaffable affable un x ab");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        if (ids(tokenizer, "unaffable affable un x ab") != alone) ++wrong[t];
        if (ids(tokenizer, std::string(1 + i % 10, 'a')).size() != static_cast<std::size_t>(3 + i % 10)) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, Each(0));
}

}  // namespace
}  // namespace stella::tokenizer
