// Texts through the model in bounded memory: a few chunks under way, results in the input's order.
#pragma once

#include "cli/input.hpp"
#include "cli/session.hpp"

#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace stella::cli {

/// A chunk is this many texts or bytes: about one batch of the engine, so that the first rows do not wait for many.
inline constexpr std::size_t kChunkTexts = 256;
inline constexpr std::size_t kChunkBytes = 16'384;
/// Chunks under way: enough that the engine never waits for the input.
inline constexpr std::size_t kChunksInFlight = 4;

/// Calls `start(texts)` → shared_ptr<Pending<std::vector<Result>>> for each chunk and `emit(first_index, results)` for
/// each result, in order. An error of the input is thrown after the rows before it were emitted.
template <class Result, class Start, class Emit>
void stream_texts(Session& session, TextSource& source, Start&& start, Emit&& emit) {
  struct UnderWay {
    std::size_t first_index;
    std::shared_ptr<Pending<std::vector<Result>>> pending;
  };
  std::deque<UnderWay> chunks;
  std::exception_ptr input_error;
  bool ended = false;
  while (true) {
    while (!ended && chunks.size() < kChunksInFlight && (chunks.empty() || source.available())) {
      Chunk chunk;
      try {
        chunk = source.read(kChunkTexts, kChunkBytes);
      } catch (const Failure&) {
        input_error = std::current_exception();
      }
      ended = chunk.texts.empty();
      if (!ended) chunks.push_back({chunk.first_index, start(std::move(chunk.texts))});
    }
    if (chunks.empty()) break;
    std::vector<Result> results = session.wait(chunks.front().pending);
    emit(chunks.front().first_index, std::move(results));
    chunks.pop_front();
  }
  if (input_error) std::rethrow_exception(input_error);
}

}  // namespace stella::cli
