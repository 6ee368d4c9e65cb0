#include "tokenizer/normalizer.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stella::tokenizer {
namespace {

using namespace std::string_literals;

// Expectations: normalizers.NFC() and normalizers.BertNormalizer() of tokenizers 0.23.3.

std::string nfc(const std::string& text) {
  NormalizerScratch scratch;
  return std::string(NfcNormalizer().apply(text, scratch));
}

std::string bert(const std::string& text, const BertNormalizerOptions& options = {}) {
  NormalizerScratch scratch;
  return std::string(BertNormalizer(options).apply(text, scratch));
}

TEST(Nfc, Composes) {
  EXPECT_EQ(nfc("ab"), "ab");
  EXPECT_EQ(nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(nfc("xe\u0301y e\u0301"), "x\u00e9y \u00e9");
  EXPECT_EQ(nfc("\u09c7\u09be"), "\u09cb");
  EXPECT_EQ(nfc("\u212b"), "\u00c5");
}

TEST(Nfc, OrdersMarksBeforeComposing) {
  EXPECT_EQ(nfc("a\u0323\u0301"), "\u1ea1\u0301");
  EXPECT_EQ(nfc("a\u0301\u0323"), "\u1ea1\u0301");
  EXPECT_EQ(nfc("q\u0307\u0323"), "q\u0323\u0307");
  EXPECT_EQ(nfc("\u1e0b\u0323"), "\u1e0d\u0307");
  EXPECT_EQ(nfc("e\u0334\u0301"), "\u00e9\u0334");
}

TEST(Nfc, LeavesExclusionsAndLoneMarks) {
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c");
  EXPECT_EQ(nfc("\u0344"), "\u0308\u0301");
  EXPECT_EQ(nfc("\u0301e"), "\u0301e");
  EXPECT_EQ(nfc("x\u0f71\u0f72\u0f80"), "x\u0f71\u0f72\u0f80");
}

TEST(Nfc, ComposesHangulByArithmetic) {
  EXPECT_EQ(nfc("\u1100\u1161"), "\uac00");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(nfc("\uac00\u11a8"), "\uac01");
  EXPECT_EQ(nfc("\uac00\u11a7"), "\uac00\u11a7");
}

TEST(Nfc, ReturnsComposedTextItself) {
  const std::string text = "d\u00e9j\u00e0 vu, \u6771\u4eac";
  NormalizerScratch scratch;
  EXPECT_EQ(NfcNormalizer().apply(text, scratch).data(), text.data());
}

TEST(BertNormalizer, DefaultSettings) {
  EXPECT_EQ(bert("H\u00e9llo\tW\u00d6RLD\r\n"), "hello world  ");
  EXPECT_EQ(bert("a\0b\ufffd"s + "c\u200b"s + "d\u00ad"s + "e"s), "abcde");
  EXPECT_EQ(bert("x\u6f22\u5b57y"), "x \u6f22  \u5b57 y");
  EXPECT_EQ(bert("\u0130stanbul \u01c5 \u1e9e \u03a3\u0391\u03a3"), "istanbul \u01c6 \u00df \u03c3\u03b1\u03c3");
  EXPECT_EQ(bert("a\u0301\u0323o\u0308"), "ao");
  EXPECT_EQ(bert("\u00c5\u212b\u2126"), "aa\u03c9");
  EXPECT_EQ(bert("\u2167 \u24b6"), "\u2177 \u24d0");
  EXPECT_EQ(bert("\uac00\uac01"), "\u1100\u1161\u1100\u1161\u11a8");
}

TEST(BertNormalizer, KeepsMarksThatTakeSpace) {
  EXPECT_EQ(bert("n\u0303\u302e\u0301x"), "n\u302ex");
}

TEST(BertNormalizer, EachSettingAlone) {
  const std::string text = "\u00c9a\u0301\t\u6f22 \u0130";
  EXPECT_EQ(bert(text, {.strip_accents = false}), "\u00e9a\u0301  \u6f22  i\u0307");
  EXPECT_EQ(bert(text, {.strip_accents = false, .lowercase = false}), "\u00c9a\u0301  \u6f22  \u0130");
  EXPECT_EQ(bert(text, {.lowercase = false}), "Ea  \u6f22  I");
  EXPECT_EQ(bert(text, {.clean_text = false}), "ea\t \u6f22  i");
  EXPECT_EQ(bert(text, {.handle_chinese_chars = false}), "ea \u6f22 i");
}

}  // namespace
}  // namespace stella::tokenizer
