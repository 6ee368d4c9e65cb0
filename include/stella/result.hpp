// What a model gives back: plain values, the same from the thread that computes to here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace stella {

using TokenIds = std::vector<std::int32_t>;

/// Rows of floats: row i begins at values.get() + i * stride. Cheap to copy; copies share the values.
struct FloatMatrix {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t stride = 0;           ///< columns, but in the caller's memory.
  std::shared_ptr<float> values{};  ///< (rows, stride)

  std::span<const float> row(std::size_t index) const noexcept { return {values.get() + index * stride, columns}; }
};

/// Of one text.
struct TokenCount {
  std::size_t tokens = 0;       ///< Tokens embedded, special tokens and prompt included.
  std::size_t full_tokens = 0;  ///< Tokens before truncation.
  bool truncated = false;       ///< Whether tokens were dropped to fit the maximum length.
};

/// Where a request's time went. Waiting for the model to be loaded is not in it.
struct EmbedStats {
  std::chrono::nanoseconds queued{};      ///< Neither tokenized nor computed.
  std::chrono::nanoseconds tokenizing{};  ///< Turns of tokenizing that had texts of this request.
  std::chrono::nanoseconds computing{};   ///< Passes that had texts of this request, others' among them.
  std::size_t tokens = 0;                 ///< Embedded, of all texts.
  std::size_t passes = 0;
};

struct EmbedResult {
  /// (texts, dimension) for each dimension asked for, in that order; empty without options.pooled.
  std::vector<FloatMatrix> vectors{};
  /// (tokens, hidden) for each text; empty without options.token_states.
  std::vector<FloatMatrix> token_states{};
  std::vector<TokenCount> texts{};
  EmbedStats stats{};
};

/// Bytes [start, stop) of prompt + text that a token stands for; empty for one that the template adds.
struct TokenOffsets {
  std::size_t start = 0;
  std::size_t stop = 0;
  friend bool operator==(const TokenOffsets&, const TokenOffsets&) = default;
};

/// A text's token ids.
struct Tokens {
  TokenIds ids;                 ///< (tokens)
  std::size_t full_tokens = 0;  ///< Before truncation.
  bool truncated = false;
  std::vector<TokenOffsets> offsets{};  ///< (tokens), where asked for.
  std::vector<bool> special{};          ///< (tokens), where asked for: the tokenizer's special tokens.
};

struct DownloadedFile {
  std::string file;
  std::filesystem::path path;
  std::uint64_t size = 0;
};

/// Bytes of a model's weights in memory.
struct MemoryUse {
  std::size_t private_bytes = 0;  ///< This process's own.
  std::size_t mapped_bytes = 0;   ///< Of mapped files: shared with other processes, and given back under pressure.
};

/// One text's result, where each text's vectors are kept apart.
struct Embedding {
  std::size_t tokens = 0;       ///< Tokens embedded, special tokens and prompt included.
  std::size_t full_tokens = 0;  ///< Tokens before truncation.
  bool truncated = false;       ///< Whether tokens were dropped to fit the maximum length.
  /// (dimension, vector of that many floats) for each dimension asked for, in that order.
  std::vector<std::pair<std::size_t, std::vector<float>>> vectors{};
};

/// The same, text by text.
std::vector<Embedding> to_embeddings(const EmbedResult& result);

}  // namespace stella
