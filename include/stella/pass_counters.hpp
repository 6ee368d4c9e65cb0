// What the forward passes of a runtime were like, for monitoring. Plain values.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace stella {

class Runtime;

/// Since the runtime was made.
struct PassCounters {
  /// The i-th of a distribution counts what is at most 2^i and more than the one before has; the last has the rest.
  using Distribution = std::array<std::uint64_t, 18>;

  std::uint64_t passes = 0;
  std::uint64_t texts = 0;   ///< Of all passes.
  std::uint64_t tokens = 0;  ///< Of all passes.
  Distribution by_texts{};   ///< Passes by how many texts they had.
  Distribution by_tokens{};

  void add(std::size_t pass_texts, std::size_t pass_tokens) noexcept {
    const auto count = [](Distribution& distribution, std::size_t value) {
      const std::size_t place = value < 2 ? 0 : static_cast<std::size_t>(std::bit_width(value - 1));
      ++distribution[place < distribution.size() ? place : distribution.size() - 1];
    };
    ++passes;
    texts += pass_texts;
    tokens += pass_tokens;
    count(by_texts, pass_texts);
    count(by_tokens, pass_tokens);
  }
};

/// Thread-safe.
PassCounters pass_counters(Runtime& runtime);

}  // namespace stella
