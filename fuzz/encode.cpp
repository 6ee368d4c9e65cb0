// Texts for the two real tokenizers, against a second, naive implementation of their models and what must hold.
#include "base/file.hpp"
#include "base/json.hpp"
#include "fuzz.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/normalizer.hpp"
#include "tokenizer/splitter.hpp"
#include "tokenizer/tokenizer.hpp"

#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

using namespace stella;
using fuzz::check;
using Ids = std::vector<std::int32_t>;

namespace {

/// A vocabulary and merges, used as the definitions say and without any haste.
struct Reference {
  explicit Reference(const char* name)
      : json(read_text_file(std::filesystem::path(STELLA_FUZZ_TOKENIZERS) / name)),
        tokenizer(tokenizer::Tokenizer::from_json(json, name)) {
    const auto file = json::parse(json).as_object();
    const auto& model = file.at("model").as_object();
    for (const auto& [token, id] : model.at("vocab").as_object()) {
      ids.emplace(token, static_cast<std::int32_t>(id.as_int64()));
    }
    for (const auto& added : file.at("added_tokens").as_array()) {
      contents.emplace_back(added.as_object().at("content").as_string());
    }
    const auto* merges = model.if_contains("merges");
    if (merges == nullptr) return;
    for (const auto& merge : merges->as_array()) {
      if (merge.is_string()) {
        const std::string line(merge.as_string());
        const std::size_t space = line.find(' ');
        ranks.emplace(std::pair(line.substr(0, space), line.substr(space + 1)), ranks.size());
      } else {
        const auto& pair = merge.as_array();
        ranks.emplace(std::pair(std::string(pair[0].as_string()), std::string(pair[1].as_string())), ranks.size());
      }
    }
  }

  bool has_added_token(std::string_view text) const {
    for (const std::string& content : contents) {
      if (text.find(content) != std::string_view::npos) return true;
    }
    return false;
  }

  void wordpiece(const std::string& word, Ids& out) const {
    std::size_t characters = 0;
    for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    Ids found;
    for (std::size_t begin = 0; begin < word.size();) {
      std::size_t end = word.size();
      auto at = ids.end();
      for (; end > begin; --end) {
        at = ids.find((begin == 0 ? "" : "##") + word.substr(begin, end - begin));
        if (at != ids.end()) break;
      }
      if (at == ids.end() || characters > 100) {
        out.push_back(ids.at("[UNK]"));
        return;
      }
      found.push_back(at->second);
      begin = end;
    }
    out.insert(out.end(), found.begin(), found.end());
  }

  void bpe(std::string_view word, Ids& out) const {
    std::vector<std::string> tokens;
    for (const char byte : word) {
      utf8::append(tokens.emplace_back(), tokenizer::byte_character(static_cast<unsigned char>(byte)));
    }
    while (true) {
      std::size_t best = SIZE_MAX, at = 0;
      for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
        const auto rank = ranks.find({tokens[i], tokens[i + 1]});
        if (rank != ranks.end() && rank->second < best) best = rank->second, at = i;
      }
      if (best == SIZE_MAX) break;
      tokens[at] += tokens[at + 1];
      tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    for (const std::string& token : tokens) out.push_back(ids.at(token));
  }

  std::string json;
  tokenizer::Tokenizer tokenizer;
  std::unordered_map<std::string, std::int32_t> ids;
  std::vector<std::string> contents;
  std::map<std::pair<std::string, std::string>, std::size_t> ranks;
};

void check_truncation(const tokenizer::Tokenizer& tokenizer, const std::string& text, const Ids& plain,
                      std::size_t kept) {
  using tokenizer::TruncationSide;
  for (const auto side : {TruncationSide::right, TruncationSide::left}) {
    const auto cut = tokenizer.encode(text, {.max_length = kept, .add_special_tokens = false, .truncation_side = side});
    const std::size_t size = std::min(kept, plain.size());
    const auto from = side == TruncationSide::left ? plain.end() - static_cast<std::ptrdiff_t>(size) : plain.begin();
    check(cut.ids == Ids(from, from + static_cast<std::ptrdiff_t>(size)), "a cut text is an end of the whole");
    check(cut.full_tokens == plain.size(), "a cut text says how long it was");
  }
}

void check_bert(const Reference& bert, const std::string& text, const Ids& plain) {
  tokenizer::NormalizerScratch scratch;
  const tokenizer::BertNormalizer normalizer(tokenizer::BertNormalizerOptions{});
  const std::string normalized(normalizer.apply(text, scratch));
  check(utf8::find_invalid(normalized) == std::string_view::npos, "normalized text is UTF-8");
  if (bert.has_added_token(text)) return;
  Ids expected;
  tokenizer::Budget budget(normalized.size());
  tokenizer::for_each_word(tokenizer::BertSplitter{}, normalized, budget,
                           [&](std::string_view word) { bert.wordpiece(std::string(word), expected); });
  check(plain == expected, "WordPiece is the longest match first");
}

void check_qwen2(const Reference& qwen2, const std::string& text, const Ids& plain) {
  tokenizer::NormalizerScratch scratch, again;
  const std::string normalized(tokenizer::NfcNormalizer().apply(text, scratch));
  check(tokenizer::NfcNormalizer().apply(normalized, again) == normalized, "NFC is NFC's own");
  if (qwen2.has_added_token(text)) return;
  std::string spelled, wanted;
  for (const std::int32_t id : plain) spelled += qwen2.tokenizer.id_to_token(id);
  for (const char byte : normalized) utf8::append(wanted, tokenizer::byte_character(static_cast<unsigned char>(byte)));
  check(spelled == wanted, "the tokens spell the text");
  check(qwen2.tokenizer.decode(plain, false) == normalized, "decoding gives the normalized text back");
  Ids expected;
  std::string joined;
  tokenizer::Budget budget(normalized.size());
  const tokenizer::Splitter qwen2_splitter = tokenizer::Gpt4Splitter(1);
  tokenizer::for_each_word(qwen2_splitter, normalized, budget, [&](std::string_view word) {
    joined += word;
    qwen2.bpe(word, expected);
  });
  check(joined == normalized, "the words are the text");
  check(plain == expected, "BPE takes the earliest merge first");
}

/// Offsets lie in the text, at the ends of characters, in order; ids are the same as without.
void check_offsets(const tokenizer::Tokenizer& tokenizer, const std::string& text, const Ids& plain) {
  const auto encoding = tokenizer.encode(text, {.add_special_tokens = false, .offsets = true});
  check(encoding.ids == plain, "offsets change no ids");
  check(encoding.offsets.size() == plain.size() && encoding.special.size() == plain.size(), "each token has a place");
  const auto begins = [&](std::size_t at) {
    return at == text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
  };
  std::size_t last = 0;
  for (const TokenOffsets& one : encoding.offsets) {
    check(one.start >= last && one.start < one.stop && one.stop <= text.size(),
          "offsets are in order, within the text");
    check(begins(one.start) && begins(one.stop), "offsets do not split characters");
    last = one.start;
  }
}

const Reference& bert_reference() {
  static const Reference kReference("bert-base-uncased.json");
  return kReference;
}

const Reference& qwen2_reference() {
  static const Reference kReference("qwen2.json");
  return kReference;
}

}  // namespace

// Before the first input, whose time is limited.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  bert_reference();
  qwen2_reference();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 300) return 0;  // the reference is slow
  const std::string text(fuzz::text_of(data + 1, size - 1));
  for (const Reference* reference : {&bert_reference(), &qwen2_reference()}) {
    const bool encoded = fuzz::holds_or_throws([&] {
      const Ids plain = reference->tokenizer.encode(text, {.add_special_tokens = false}).ids;
      for (const std::int32_t id : plain) check(!reference->tokenizer.id_to_token(id).empty(), "ids exist");
      check_truncation(reference->tokenizer, text, plain, data[0]);
      check_offsets(reference->tokenizer, text, plain);
      check(utf8::find_invalid(reference->tokenizer.decode(plain)) == std::string_view::npos, "decoded text is UTF-8");
      reference == &bert_reference() ? check_bert(*reference, text, plain) : check_qwen2(*reference, text, plain);
    });
    check(encoded == (utf8::find_invalid(text) == std::string_view::npos),
          "every UTF-8 text has ids, and nothing else");
  }
  return 0;
}
