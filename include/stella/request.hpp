// What is asked of a model, and what it gives back: plain values, the same from here to the thread that computes.
#pragma once

#include "stella/options.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace stella {

using TokenIds = std::vector<std::int32_t>;

/// How texts become vectors. The defaults are what a search application wants for its queries.
struct EmbedOptions {
  /// Task name ("s2p", "s2s", "search_query", "document", "none", …); empty: the model's default.
  std::string task{};
  /// A literal prompt put before each text; wins over `task`.
  std::optional<std::string> prompt{};
  /// Sizes of the trained heads to apply, any number from one forward pass; empty: the model's default.
  std::vector<std::size_t> dimensions{};
  /// Scale each vector to unit length (a zero vector stays zero).
  bool normalize = true;
  /// Most tokens per text, special tokens and prompt included; empty: the model's default_max_length.
  std::optional<std::size_t> max_length{};
  OnLong on_long = OnLong::truncate;
  /// Empty: as the checkpoint says.
  std::optional<TruncationSide> truncation_side{};
  /// Whether to give a vector per text and dimension.
  bool pooled = true;
  /// Whether to give the encoder's last hidden state of every token too: (tokens, hidden) f32, neither pooled nor
  /// normalised.
  bool token_states = false;
  Priority priority = Priority::automatic;
  /// Whom the request is for: waiting requests of different keys take turns. A server's API key or peer, for example.
  std::string client{};
  /// A request that has not been answered by then ends with Error(deadline_exceeded).
  std::optional<std::chrono::steady_clock::time_point> deadline{};
};

/// The caller's memory for the vectors of one dimension: row i is `dimension` floats from data + i * stride on. The
/// rows are written while the request runs, in any order; after an error they hold anything.
struct OutputRows {
  float* data = nullptr;
  std::size_t rows = 0;           ///< At least the request's texts.
  std::size_t stride = 0;         ///< Floats between the beginnings of two rows, at least the dimension.
  std::shared_ptr<void> owner{};  ///< Keeps `data` alive until the request has let go of it, a cancelled one too.
};

struct EmbedRequest {
  std::vector<std::string> texts{};
  /// Token ids in place of texts, taken as they are: no prompt, no special tokens added; longer ones are cut or refused
  /// as texts are.
  std::vector<TokenIds> ids{};
  EmbedOptions options{};
  /// One for each of options.dimensions (for the default dimension, where that is empty), or none: then the library
  /// allocates.
  std::vector<OutputRows> out{};
  /// Any number of texts, none included; otherwise Error(empty_batch | batch_too_large) unless there are 1 to 10,000.
  bool any_count = false;
  /// Put "Text at index {i}: " before messages about one text.
  bool indexed_errors = true;

  std::size_t size() const noexcept { return ids.empty() ? texts.size() : ids.size(); }
};

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

struct TokenizeOptions {
  std::string task{};
  std::optional<std::string> prompt{};
  std::optional<std::size_t> max_length{};
  bool add_special_tokens = true;
  OnLong on_long = OnLong::truncate;
  std::optional<TruncationSide> truncation_side{};
  bool offsets = false;  ///< Fill in Tokens::offsets and Tokens::special.
};

struct TokenizeRequest {
  std::vector<std::string> texts{};
  TokenizeOptions options{};
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

struct DecodeRequest {
  std::vector<TokenIds> ids{};
  bool skip_special_tokens = true;
};

struct DownloadRequest {
  /// Of the vectors that are wanted; empty: the default one.
  std::vector<std::size_t> dimensions{};
  bool all_heads = false;
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

/// For one text's vector at one dimension; none: the model's default. Errors say no index.
EmbedRequest request_for(std::string text, std::string task, std::optional<std::size_t> dimension);

}  // namespace stella
