#include "cli/bundled.hpp"

#include "cli/failure.hpp"

#include <system_error>

namespace stella::cli {

std::filesystem::path share_directory(const std::filesystem::path& program_directory) {
  std::error_code error;
  const std::filesystem::path installed = (program_directory / STELLA_SHARE_FROM_BIN).lexically_normal();
  const std::filesystem::path built = program_directory / "share/stella";
  for (const auto& candidate : {built, installed}) {
    if (std::filesystem::is_directory(candidate / "models", error)) return candidate;
  }
  throw Failure(kRuntimeFailure, "the bundled files are in neither '" + installed.string() + "' nor '" +
                                     built.string() + "'; install the program whole with cmake --install");
}

std::filesystem::path share_directory() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) throw Failure(kRuntimeFailure, "cannot read /proc/self/exe: " + error.message() + "; mount /proc");
  return share_directory(program.parent_path());
}

std::string resolve_model(const std::string& model) {
  std::error_code error;
  if (model != "demo" || std::filesystem::is_directory(model, error)) return model;
  return (share_directory() / "models/stella-demo").string();
}

}  // namespace stella::cli
