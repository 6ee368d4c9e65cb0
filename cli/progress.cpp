#include "cli/progress.hpp"

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "cli/columns.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <cmath>
#include <sys/ioctl.h>
#include <unistd.h>

namespace stella::cli {
namespace {

constexpr std::chrono::milliseconds kRedrawInterval{100};
constexpr std::size_t kNameWidth = 28;

std::string bar(double fraction, std::size_t cells) {
  const auto full = static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(cells));
  std::string text = "[";
  text.append(full, '#').append(cells - full, '.');
  return text + "]";
}

/// The end of a long path says more than its start.
std::string fit_name(const std::string& name) {
  const std::string line = printable_line(name);
  if (columns_of(line) <= kNameWidth) return pad_columns(line, kNameWidth);
  const char* at = line.data() + line.size();
  std::string end;
  while (true) {
    at = utf8::previous(at);
    const std::string_view rest(at, static_cast<std::size_t>(line.data() + line.size() - at));
    if (columns_of(rest) > kNameWidth - 3) break;
    end = rest;
  }
  return pad_columns("..." + end, kNameWidth);
}

std::string percent(double fraction) {
  const std::string digits = std::to_string(static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100));
  return std::string(4 - std::min<std::size_t>(digits.size(), 4), ' ') + digits + "%";
}

std::string assemble(const std::string& name, double fraction, const std::string& details, std::size_t width) {
  const std::string head = fit_name(name) + percent(fraction) + " ";
  const std::size_t taken = columns_of(head) + details.size() + 3;
  return fit_columns(
      head + (width > taken + 5 ? bar(fraction, std::min<std::size_t>(width - taken, 40)) + " " : "") + details, width);
}

std::string rate_of(const TextProgress& progress) {
  if (progress.seconds <= 0) return {};
  const double rate = static_cast<double>(progress.tokens) / progress.seconds;
  return with_separators(static_cast<std::uint64_t>(rate)) + " tokens/s";
}

}  // namespace

std::string format_bar(const Progress& progress, std::size_t width) {
  const double fraction =
      progress.total == 0 ? 0.0 : static_cast<double>(progress.bytes) / static_cast<double>(progress.total);
  std::string details = format_bytes(progress.bytes);
  if (progress.total != 0) details += " / " + format_bytes(progress.total);
  const auto rate = static_cast<std::uint64_t>(std::max(0.0, progress.bytes_per_second));
  if (!progress.from_cache) details += "  " + format_bytes(rate) + "/s";
  if (progress.total >= progress.bytes && rate > 0) {
    details += "  " + format_duration(static_cast<double>(progress.total - progress.bytes) / progress.bytes_per_second);
  }
  return assemble(progress.file, fraction, details, width);
}

std::string format_overall(std::size_t finished, std::uint64_t finished_bytes,
                           const std::map<std::string, Progress>& under_way, std::size_t width) {
  Progress sum{.bytes = finished_bytes, .total = finished_bytes};
  bool known = true;
  for (const auto& [key, progress] : under_way) {
    sum.bytes += progress.bytes;
    sum.total += progress.total;
    sum.bytes_per_second += progress.bytes_per_second;
    known = known && progress.total != 0;
  }
  if (!known) sum.total = 0;
  sum.file = "all (" + std::to_string(finished) + " of " + std::to_string(finished + under_way.size()) + " files)";
  return format_bar(sum, width);
}

std::string format_texts(const TextProgress& progress, std::size_t width) {
  const std::string name = with_separators(progress.texts) + (progress.texts == 1 ? " text" : " texts");
  if (progress.total == 0) return fit_columns(name + "  " + rate_of(progress), width);
  const double fraction = static_cast<double>(progress.bytes) / static_cast<double>(progress.total);
  std::string details = format_bytes(progress.bytes) + " / " + format_bytes(progress.total) + "  " + rate_of(progress);
  if (fraction > 0) details += "  " + format_duration(progress.seconds * (1 - fraction) / fraction);
  return assemble(name, fraction, details, width);
}

std::string format_texts_done(const TextProgress& progress) {
  return with_separators(progress.texts) + (progress.texts == 1 ? " text, " : " texts, ") +
         with_separators(progress.tokens) + " tokens in " + format_duration(progress.seconds) + ", " +
         rate_of(progress);
}

std::string format_finished(const Progress& progress) {
  const std::string name = printable_line(progress.file);
  if (progress.from_cache) return name + ": in the cache";
  std::string line = name + ": " + format_bytes(progress.bytes);
  if (progress.bytes_per_second > 0) {
    line += ", " + format_bytes(static_cast<std::uint64_t>(progress.bytes_per_second)) + "/s";
  }
  return line;
}

ProgressDisplay::ProgressDisplay(ProgressStyle style, int descriptor) : style_(style), descriptor_(descriptor) {}

ProgressDisplay::~ProgressDisplay() {
  close();
}

void ProgressDisplay::on_file(const Progress& progress) {
  if (style_ == ProgressStyle::none) return;
  const std::lock_guard lock(mutex_);
  if (style_ == ProgressStyle::lines) {
    if (progress.finished) put(format_finished(progress) + "\n");
    return;
  }
  const std::string key = progress.repo + "/" + progress.file;
  if (progress.finished) {
    files_.erase(key);
    if (!progress.from_cache) {
      ++finished_files_;
      finished_bytes_ += progress.bytes;
      put(erase_sequence() + format_finished(progress) + "\n");
    }
    draw();
    return;
  }
  files_[key] = progress;
  if (std::chrono::steady_clock::now() - last_draw_ >= kRedrawInterval) draw();
}

void ProgressDisplay::on_check(const Progress& progress) {
  if (style_ == ProgressStyle::bars) on_file(progress);
}

void ProgressDisplay::on_load(double fraction) {
  if (style_ != ProgressStyle::bars) return;
  const std::lock_guard lock(mutex_);
  load_fraction_ = fraction;
  if (fraction >= 1 || std::chrono::steady_clock::now() - last_draw_ >= kRedrawInterval) draw();
}

void ProgressDisplay::on_texts(const TextProgress& progress) {
  if (style_ != ProgressStyle::bars) return;
  const std::lock_guard lock(mutex_);
  texts_ = progress;
  if (std::chrono::steady_clock::now() - last_draw_ >= kRedrawInterval) draw();
}

void ProgressDisplay::on_texts_done(const TextProgress& progress) {
  if (style_ != ProgressStyle::bars) return;
  const std::lock_guard lock(mutex_);
  texts_.reset();
  put(erase_sequence() + format_texts_done(progress) + "\n");
}

void ProgressDisplay::print(std::string_view line) {
  const std::lock_guard lock(mutex_);
  put(erase_sequence() + printable_line(line) + "\n");
  if (!files_.empty() || load_fraction_ >= 0 || texts_) draw();
}

void ProgressDisplay::close() {
  const std::lock_guard lock(mutex_);
  files_.clear();
  load_fraction_ = -1;
  texts_.reset();
  if (drawn_lines_ != 0) put(erase_sequence());
}

void ProgressDisplay::draw() {
  std::string out = erase_sequence();
  const std::size_t columns = width();
  for (const auto& [key, progress] : files_) {
    out += format_bar(progress, columns) + "\n";
    ++drawn_lines_;
  }
  if (!files_.empty() && finished_files_ + files_.size() > 1) {
    out += format_overall(finished_files_, finished_bytes_, files_, columns) + "\n";
    ++drawn_lines_;
  }
  if (load_fraction_ >= 0 && load_fraction_ < 1) {
    out += assemble("loading the weights", load_fraction_, "", columns) + "\n";
    ++drawn_lines_;
  }
  if (texts_) {
    out += format_texts(*texts_, columns) + "\n";
    ++drawn_lines_;
  }
  put(out);
  last_draw_ = std::chrono::steady_clock::now();
}

std::string ProgressDisplay::erase_sequence() {
  if (drawn_lines_ == 0) return {};
  std::string sequence = "\x1b[" + std::to_string(drawn_lines_) + "A\r\x1b[J";
  drawn_lines_ = 0;
  return sequence;
}

void ProgressDisplay::put(const std::string& bytes) const {
  // What cannot be shown on standard error cannot be reported anywhere either.
  if (!bytes.empty() && ::write(descriptor_, bytes.data(), bytes.size()) < 0) return;
}

std::size_t ProgressDisplay::width() const {
  winsize size{};
  if (ioctl(descriptor_, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 79;
  return static_cast<std::size_t>(size.ws_col) - 1U;
}

}  // namespace stella::cli
