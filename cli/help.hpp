// How help is laid out: descriptions in a column of their own, notes below, all within the width of the terminal.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

namespace stella::cli {

/// The terminal's width, at most 100 columns; 80 where standard output is none, so that the man page is the same text.
std::size_t help_width();

/// Notes as they stand below the options. Lines that begin with a space keep their place: examples (`  stella …`) as
/// they are, others broken where they are too long and continued below the last column of theirs. The other lines of a
/// paragraph are filled.
std::string fill_notes(const std::string& notes, std::size_t width);

/// For the root; subcommands that are added later take it over.
std::shared_ptr<CLI::Formatter> make_help_formatter(std::size_t width);

/// Help of the command that was chosen last, or of the whole program.
std::string help_text(const CLI::App& root);

}  // namespace stella::cli
