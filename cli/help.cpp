#include "cli/help.hpp"

#include <algorithm>
#include <sstream>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace stella::cli {
namespace {

constexpr std::size_t kNameColumn = 30;  ///< Where descriptions start.
constexpr std::size_t kUsualWidth = 80;
constexpr std::size_t kLeastWidth = 60;
constexpr std::size_t kMaxWidth = 100;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// `text` in lines of at most `width`, broken at spaces only; all but the first begin with `indent` spaces.
std::string fill(const std::string& text, std::size_t width, std::size_t indent) {
  std::string out;
  std::size_t column = 0;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column != 0 && column + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column != 0) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

/// One line that starts with a space, of a list or a table.
std::string fill_row(const std::string& line, std::size_t width) {
  const std::size_t start = line.find_first_not_of(' ');
  if (line.size() <= width || start == std::string::npos || line.compare(start, 7, "stella ") == 0) return line;
  const std::size_t gap = line.rfind("  ");
  const std::size_t column = gap != std::string::npos && gap > start ? gap + 2 : start;
  const std::string head = line.substr(0, column);
  std::string out = fill(line.substr(column), width - column, 0);
  for (std::size_t at = 0; (at = out.find('\n', at)) != std::string::npos; at += 1 + column) {
    out.insert(at + 1, column, ' ');
  }
  return head + out;
}

class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::size_t width) : width_(width) { column_width(kNameColumn); }

  std::string make_option_desc(const CLI::Option* option) const override {
    return fill(option->get_description(), width_ - kNameColumn, 0);
  }
  std::string make_subcommand(const CLI::App* app) const override {
    std::ostringstream out;
    CLI::detail::format_help(out, app->get_display_name(true), fill(app->get_description(), width_ - kNameColumn, 0),
                             kNameColumn);
    return out.str();
  }
  std::string make_description(const CLI::App* app) const override {
    return fill(app->get_description(), width_, 0) + "\n";
  }
  std::string make_footer(const CLI::App* app) const override {
    const std::string footer = app->get_footer();
    return footer.empty() ? footer : fill_notes(footer, width_);
  }
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (std::size_t at = 0; (at = text.find("\n\n\n", at)) != std::string::npos;) text.erase(at, 1);
    while (text.ends_with("\n\n")) text.pop_back();
    return text;
  }

 private:
  std::size_t width_;
};

}  // namespace

std::size_t help_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualWidth;
  return std::clamp<std::size_t>(size.ws_col, kLeastWidth, kMaxWidth);
}

std::string fill_notes(const std::string& notes, std::size_t width) {
  std::string out;
  std::string paragraph;
  const auto end_paragraph = [&] {
    if (!paragraph.empty()) out += fill(paragraph, width, 0) + "\n";
    paragraph.clear();
  };
  for (const std::string& line : lines_of(notes)) {
    const bool part_of_paragraph = !line.empty() && line.front() != ' ';
    if (part_of_paragraph) {
      paragraph += line + " ";
      if (line.ends_with(':')) end_paragraph();  // a heading
      continue;
    }
    end_paragraph();
    out += fill_row(line, width) + "\n";
  }
  end_paragraph();
  return out;
}

std::shared_ptr<CLI::Formatter> make_help_formatter(std::size_t width) {
  return std::make_shared<HelpFormatter>(width);
}

std::string help_text(const CLI::App& root) {
  const auto chosen = root.get_subcommands();
  return chosen.empty() ? root.help() : chosen.front()->help("stella");
}

}  // namespace stella::cli
