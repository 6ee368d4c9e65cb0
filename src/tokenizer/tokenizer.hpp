// Text to token ids, as a checkpoint's tokenizer.json says.
#pragma once

#include "stella/options.hpp"
#include "stella/request.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stella::tokenizer {

using stella::TruncationSide;

struct EncodeOptions {
  std::size_t max_length = SIZE_MAX;  ///< Most ids in the result, special tokens included.
  bool add_special_tokens = true;     ///< Apply the post-processor's template ([CLS] … [SEP], … <|endoftext|>).
  std::optional<TruncationSide> truncation_side = std::nullopt;  ///< Where a text is cut; absent: as the file says.
  bool offsets = false;  ///< Fill in Encoding::offsets and Encoding::special; takes several times as long.
  const std::atomic<bool>* cancelled = nullptr;  ///< Once it is true, encode() ends soon with Error(cancelled).
};

/// What a checkpoint's other files say about its tokenizer, as transformers applies it to tokenizer.json.
struct TokenizerSettings {
  bool lowercase_first = false;  ///< sentence-transformers' do_lower_case: everything else sees lowercase text.
  // Of BERT's normalizer, where the tokenizer is BERT's (tokenizer_config.json); absent: as the file says.
  std::optional<bool> bert_lowercase = std::nullopt;
  std::optional<bool> bert_strip_accents = std::nullopt;
  std::optional<bool> bert_chinese_chars = std::nullopt;
};

struct Encoding {
  std::vector<std::int32_t> ids;  // (tokens)
  std::size_t full_tokens = 0;    ///< Tokens before truncation, special tokens included.
  // Where they are asked for:
  std::vector<TokenOffsets> offsets{};  ///< (tokens); 0 and 0 for those that the post-processor's template adds.
  std::vector<bool> special{};          ///< (tokens), whether the template adds it.
  bool truncated() const noexcept { return full_tokens > ids.size(); }
};

/// A tokenizer.json, compiled. Ids, offsets and decoded text equal those of the Hugging Face `tokenizers` library
/// 0.23.3 with truncation to max_length and no padding; offsets are in characters there. Of the truncation settings
/// inside the file only the direction counts, of those for padding none. Immutable: const members are thread-safe.
class Tokenizer {
 public:
  /// Throws Error(malformed_file) for broken JSON or missing parts, Error(unsupported_model) naming a component that is
  /// not implemented; both name `source`.
  static Tokenizer from_json(std::string_view json, const std::string& source, const TokenizerSettings& settings = {});
  static Tokenizer from_file(const std::filesystem::path& path, const TokenizerSettings& settings = {});

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Throws Error(invalid_utf8) with the byte offset, and Error(invalid_argument) where max_length leaves no room for
  /// the special tokens.
  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// Text of token ids; those that do not exist are left out, as in the library, and so are the file's special tokens
  /// with `skip_special_tokens`. Bytes that are no UTF-8 become U+FFFD. Throws Error(unsupported_model) for a decoder
  /// that is not implemented, and what from_json() throws for one that is broken: the file is read all the same.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = true) const;

  /// Where the file's truncation settings cut; right without such settings.
  TruncationSide truncation_side() const noexcept;
  /// Ids that the post-processor adds to a single text.
  std::size_t special_tokens_per_text() const noexcept;
  /// "" for an id that does not exist, at a null pointer.
  std::string_view id_to_token(std::int32_t id) const noexcept;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace stella::tokenizer
