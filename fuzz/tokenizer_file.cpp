// tokenizer.json: what is read can encode, and no text takes long or gives ids that do not exist.
#include "fuzz.hpp"
#include "tokenizer/tokenizer.hpp"

#include <array>

using namespace stella;
using fuzz::check;

namespace {

const std::array<std::string, 5>& texts() {
  static const std::array<std::string, 5> kTexts = {
      "", "Hello,  world! [CLS] 12 don't", "\u6f22\u5b57 e\u0301\u0323 \u00c5\u0130 \U0001f600\t\n  x",
      std::string(3000, 'a'), " " + std::string(500, '!') + std::string(500, ' ')};
  return kTexts;
}

void encode(const tokenizer::Tokenizer& tokenizer, const std::string& text) {
  const tokenizer::Encoding all = tokenizer.encode(text);
  check(all.full_tokens == all.ids.size() && !all.truncated(), "nothing is cut without being told");
  check(all.full_tokens >= tokenizer.special_tokens_per_text(), "special tokens are there");
  check(tokenizer.encode(text).ids == all.ids, "the same text gives the same ids");
  const std::size_t specials = tokenizer.special_tokens_per_text();
  const std::size_t length = specials + (all.ids.size() - specials) / 2;
  const tokenizer::Encoding cut = tokenizer.encode(text, {.max_length = length});
  check(cut.ids.size() == std::min(length, all.ids.size()) && cut.full_tokens == all.full_tokens,
        "a cut text is as long as allowed");
  const tokenizer::Encoding placed = tokenizer.encode(text, {.offsets = true});
  check(placed.ids == all.ids && placed.offsets.size() == all.ids.size(), "offsets change no ids");
  for (const TokenOffsets& one : placed.offsets) {
    check(one.start <= one.stop && one.stop <= text.size(), "offsets lie in the text");
  }
  fuzz::holds_or_throws(
      [&] { check(utf8::find_invalid(tokenizer.decode(all.ids)) == std::string_view::npos, "decoded text is UTF-8"); });
  const std::size_t plain = tokenizer.encode(text, {.add_special_tokens = false}).ids.size();
  check(plain + specials == all.ids.size(), "special tokens are beside the text's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::holds_or_throws([&] {
    const auto tokenizer = tokenizer::Tokenizer::from_json(fuzz::text_of(data, size), "tokenizer.json");
    tokenizer.id_to_token(-1);
    tokenizer.id_to_token(INT32_MAX);
    for (const std::string& text : texts()) fuzz::holds_or_throws([&] { encode(tokenizer, text); });
  });
  return 0;
}
