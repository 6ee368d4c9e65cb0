#include "api/model_argument.hpp"

#include "base/repo_names.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <system_error>

namespace stella::api {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRemedy =
    "give a directory with config.json, tokenizer.json and model.safetensors, or a repository's id such as "
    "NovaSearch/stella_en_400M_v5";

bool ends_with_any(const std::string& text, std::initializer_list<std::string_view> ends) {
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return lower.ends_with(end); });
}

bool looks_like_path(const std::string& model) {
  return model.starts_with('/') || model.starts_with("./") || model.starts_with("../") || model.starts_with('~') ||
         model == "." || model == ".." || model.ends_with('/') || std::count(model.begin(), model.end(), '/') > 1 ||
         model.find('\\') != std::string::npos;
}

/// A single file that holds or describes a model. Repositories are not called so.
bool looks_like_file(const std::string& model) {
  return ends_with_any(model, {".safetensors", ".bin", ".onnx", ".json"});
}

}  // namespace

std::string why_no_model(const std::string& model) {
  std::error_code error;
  const std::string name = "'" + model + "'";
  const fs::file_status status = fs::status(model, error);
  const bool exists = fs::exists(status);
  const bool readable = !error || status.type() == fs::file_type::not_found;
  if (model.empty()) return std::string("the model's name is empty; ") + kRemedy;
  if (ends_with_any(model, {".gguf", ".ggml"})) {
    const std::string kind = exists ? " is a file in llama.cpp's format" : " names a file in llama.cpp's format";
    return name + kind + ", which stella does not read; " + kRemedy;
  }
  if (exists) {
    const fs::path folder = fs::path(model).parent_path();
    const bool in_checkpoint = fs::exists(folder / "config.json", error);
    return name + " is a file, not a directory; " +
           (in_checkpoint ? "give the directory that holds it, '" + (folder.empty() ? "." : folder.string()) + "'"
                          : kRemedy);
  }
  if (looks_like_path(model) || looks_like_file(model)) {
    if (!readable) return "cannot look at " + name + ": " + error.message() + "; " + kRemedy;
    if (model.starts_with('~')) {
      return "there is no directory " + name + " (only a shell expands ~, at the start of a word); " + kRemedy;
    }
    return "there is no directory " + name + "; " + kRemedy;
  }
  if (is_repo_id(model)) return {};
  return name + " is neither a directory nor a repository's id; " + kRemedy;
}

}  // namespace stella::api
