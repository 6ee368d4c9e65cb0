// Progress bars and remarks on standard error.
#pragma once

#include "stella/options.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace stella::cli {

enum class ProgressStyle : std::uint8_t {
  none,
  bars,  ///< Redrawn in place: for a terminal.
  lines  ///< One line as each file ends: for a log.
};

/// One file's bar, at most `width` characters: name, share, bar, bytes of total, rate, time left.
std::string format_bar(const Progress& progress, std::size_t width);

/// The bar of several files together: `finished` of them with `finished_bytes`, the others under way.
std::string format_overall(std::size_t finished, std::uint64_t finished_bytes,
                           const std::map<std::string, Progress>& under_way, std::size_t width);

/// One file's line when it has ended.
std::string format_finished(const Progress& progress);

/// Texts that went through the model.
struct TextProgress {
  std::size_t texts = 0;
  std::uint64_t tokens = 0;
  std::uint64_t bytes = 0;  ///< Of the input, up to the last of these texts.
  std::uint64_t total = 0;  ///< Of the whole input; 0 while unknown.
  double seconds = 0;       ///< Since the first of them.
};

/// Their bar, at most `width` columns: texts, share, bar, bytes of total, tokens a second, time left.
std::string format_texts(const TextProgress& progress, std::size_t width);

/// One line when all are done.
std::string format_texts_done(const TextProgress& progress);

/// Thread-safe: progress comes from the library's threads.
class ProgressDisplay {
 public:
  ProgressDisplay(ProgressStyle style, int descriptor);
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;
  ~ProgressDisplay();

  void on_file(const Progress& progress);
  /// Of work on files that are here already, such as hashing: a bar, never a line.
  void on_check(const Progress& progress);
  void on_load(double fraction);
  void on_texts(const TextProgress& progress);
  /// Their bar gives way to a line; nothing where no bar is shown.
  void on_texts_done(const TextProgress& progress);
  /// A whole line, above the bars. What a terminal would obey is shown as an escape.
  void print(std::string_view line);
  /// Removes what is still drawn.
  void close();

 private:
  void draw();
  std::string erase_sequence();
  void put(const std::string& bytes) const;
  std::size_t width() const;

  const ProgressStyle style_;
  const int descriptor_;
  std::mutex mutex_{};
  std::map<std::string, Progress> files_{};  ///< Under way, by repository and file.
  std::size_t finished_files_ = 0;           ///< Transferred.
  std::uint64_t finished_bytes_ = 0;
  double load_fraction_ = -1;  ///< Below 0 or from 1 on: no bar.
  std::optional<TextProgress> texts_{};
  std::size_t drawn_lines_ = 0;
  std::chrono::steady_clock::time_point last_draw_{};
};

}  // namespace stella::cli
