// What is wrong with a command line, in this program's words, and what was probably meant.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace stella::cli {

/// The one of `known` that `word` was probably meant to be, or nothing: a slip of a letter or two, the beginning of a
/// single one, or another program's name for the same.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

/// The arguments with `help COMMAND…` as `COMMAND… --help`. Throws Failure(kBadInput) where the first word is no
/// command, or an option stands where only a command can.
std::vector<std::string> check_commands(const CLI::App& root, std::vector<std::string> arguments);

/// One line for what CLI11 refused.
std::string usage_line(const CLI::App& root, const CLI::ParseError& error);

/// Flags take no value: "--quiet=false" would otherwise be a way to say the opposite of what is read.
void forbid_flag_values(CLI::App& app);

}  // namespace stella::cli
