#include "tokenizer/decoder.hpp"

#include "base/utf8.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/normalizer.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace stella::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::size_t at = text.find(from);
  if (at == std::string::npos) return;
  std::string result;
  std::size_t done = 0;
  for (; at != std::string::npos; at = text.find(from, done)) {
    result.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  text = std::move(result.append(text, done));
}

void clean_up(std::string& token) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kReplacements = {{{" .", "."},
                                                                                            {" ?", "?"},
                                                                                            {" !", "!"},
                                                                                            {" ,", ","},
                                                                                            {" ' ", "'"},
                                                                                            {" n't", "n't"},
                                                                                            {" 'm", "'m"},
                                                                                            {" do not", " don't"},
                                                                                            {" 's", "'s"},
                                                                                            {" 've", "'ve"},
                                                                                            {" 're", "'re"}}};
  for (const auto& [from, to] : kReplacements) replace_all(token, from, to);
}

/// Appends the bytes that a token's characters stand for; the token itself where one of them stands for none.
void append_bytes(std::string& bytes, std::string_view token) {
  const std::size_t before = bytes.size();
  for (std::size_t at = 0; at < token.size();) {
    const utf8::Decoded c = utf8::decode(token.data() + at);
    const int byte = byte_of_character(c.value);
    if (byte < 0) {
      bytes.resize(before);
      bytes.append(token);
      return;
    }
    bytes.push_back(static_cast<char>(byte));
    at += c.length;
  }
}

/// The byte that a token like <0x0A> stands for.
std::optional<char> written_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  // As Rust reads numbers: a sign may be there.
  const std::string_view digits = token.substr(token[3] == '+' ? 4 : 3, token[3] == '+' ? 1 : 2);
  std::uint8_t byte = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return static_cast<char>(byte);
}

}  // namespace

void WordPieceDecoder::apply(DecodedTokens& tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::string& token = tokens[i];
    if (i != 0 && token.starts_with(prefix)) {
      token.erase(0, prefix.size());
    } else if (i != 0) {
      token.insert(0, 1, ' ');
    }
    if (cleanup) clean_up(token);
  }
}

void ByteLevelDecoder::apply(DecodedTokens& tokens) const {
  std::string bytes;
  for (const std::string& token : tokens) append_bytes(bytes, token);
  tokens.assign(1, utf8::replace_invalid(bytes));
}

void BpeDecoder::apply(DecodedTokens& tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i) replace_all(tokens[i], suffix, i + 1 == tokens.size() ? "" : " ");
}

void ByteFallbackDecoder::apply(DecodedTokens& tokens) const {
  DecodedTokens result;
  std::string bytes;
  const auto flush = [&] {
    if (utf8::find_invalid(bytes) == std::string_view::npos) {
      if (!bytes.empty()) result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), std::string(kReplacement));
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = written_byte(token)) {
      bytes.push_back(*byte);
    } else {
      flush();
      result.push_back(std::move(token));
    }
  }
  flush();
  tokens = std::move(result);
}

void FuseDecoder::apply(DecodedTokens& tokens) const {
  std::string all;
  for (const std::string& token : tokens) all += token;
  tokens.assign(1, std::move(all));
}

void StripDecoder::apply(DecodedTokens& tokens) const {
  for (std::string& token : tokens) {
    std::string_view kept = token;
    for (std::size_t i = 0; i < start && kept.starts_with(content); ++i) kept.remove_prefix(content.size());
    for (std::size_t i = 0; i < stop && kept.ends_with(content); ++i) kept.remove_suffix(content.size());
    token = std::string(kept);
  }
}

void ReplaceDecoder::apply(DecodedTokens& tokens, Budget& budget) const {
  NormalizerScratch scratch;
  for (std::string& token : tokens) token = std::string(replace.apply(token, scratch, budget));
}

std::string decode(std::span<const Decoder> decoders, DecodedTokens tokens) {
  std::size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  Budget budget(bytes);
  for (const Decoder& decoder : decoders) {
    std::visit(
        [&](const auto& kind) {
          if constexpr (requires { kind.apply(tokens, budget); }) {
            kind.apply(tokens, budget);
          } else {
            kind.apply(tokens);
          }
        },
        decoder);
  }
  FuseDecoder{}.apply(tokens);
  return std::move(tokens.front());
}

}  // namespace stella::tokenizer
