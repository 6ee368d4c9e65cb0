// Texts through the model in bounded memory: a few chunks under way, results in the input's order.
#pragma once

#include "cli/input.hpp"
#include "cli/session.hpp"
#include "stella/error.hpp"

#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace stella::cli {

/// A chunk is this many texts or bytes: about one batch of the engine, so that the first rows do not wait for many.
inline constexpr std::size_t kChunkTexts = 256;
inline constexpr std::size_t kChunkBytes = 16'384;
/// Chunks under way: enough that the engine never waits for the input.
inline constexpr std::size_t kChunksInFlight = 4;

/// The text that an error of a batch names, if it is one of the first `texts`.
std::optional<std::size_t> text_at_fault(const Error& error, std::size_t texts);
/// The same error with the text's place in the input for its index in the batch.
[[noreturn]] void refuse_text(const Error& error, const std::string& place);

/// Calls `start(texts)` → shared_ptr<Pending<std::vector<Result>>> for each chunk and `emit(chunk, results)` for each
/// result, in order. An error of the input or of a text is thrown after the rows before it were emitted.
template <class Result, class Start, class Emit>
void stream_texts(Session& session, TextSource& source, Start&& start, Emit&& emit) {
  struct UnderWay {
    Chunk chunk;
    std::shared_ptr<Pending<std::vector<Result>>> pending;
  };
  std::deque<UnderWay> chunks;
  std::exception_ptr input_error;
  bool ended = false;
  while (true) {
    while (!ended && chunks.size() < kChunksInFlight) {
      Chunk chunk;
      try {
        chunk = source.read(kChunkTexts, kChunkBytes, chunks.empty());
      } catch (const Failure&) {
        input_error = std::current_exception();
        chunk.last = true;
      }
      ended = chunk.last;
      if (chunk.size() == 0) break;
      auto pending = start(chunk.texts);
      chunks.push_back({std::move(chunk), std::move(pending)});
    }
    if (chunks.empty()) break;
    UnderWay& first = chunks.front();
    try {
      emit(first.chunk, session.wait(first.pending));
    } catch (const Error& error) {
      const auto bad = text_at_fault(error, first.chunk.size());
      if (!bad) throw;
      const std::size_t index = first.chunk.indices[*bad];
      if (*bad > 0) {
        first.chunk.cut(*bad);
        emit(first.chunk, session.wait(start(first.chunk.texts)));
      }
      refuse_text(error, source.describe(index));
    }
    chunks.pop_front();
  }
  if (input_error) std::rethrow_exception(input_error);
}

}  // namespace stella::cli
