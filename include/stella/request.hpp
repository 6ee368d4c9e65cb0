// What is asked of a model: plain values, the same from here to the thread that computes.
#pragma once

#include "stella/options.hpp"
#include "stella/result.hpp"  // IWYU pragma: export

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella {

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

struct DecodeRequest {
  std::vector<TokenIds> ids{};
  bool skip_special_tokens = true;
};

struct DownloadRequest {
  /// Of the vectors that are wanted; empty: the default one.
  std::vector<std::size_t> dimensions{};
  bool all_heads = false;
};

/// For one text's vector at one dimension; none: the model's default. Errors say no index.
EmbedRequest request_for(std::string text, std::string task, std::optional<std::size_t> dimension);

}  // namespace stella
