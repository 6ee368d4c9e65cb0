#include "api/model_argument.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

namespace stella::api {
namespace {

namespace fs = std::filesystem;

class ModelArgument : public ::testing::Test {
 protected:
  ModelArgument() : folder_(fs::temp_directory_path() / ("stella-argument-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~ModelArgument() override { fs::remove_all(folder_); }

  std::string make(const std::string& name) {
    std::ofstream(folder_ / name) << "x";
    return (folder_ / name).string();
  }
  /// Whether the line holds all of `parts`.
  static void expect_says(const std::string& model, std::initializer_list<const char*> parts) {
    const std::string line = why_no_model(model);
    for (const char* part : parts) EXPECT_NE(line.find(part), std::string::npos) << model << ": " << line;
  }

  fs::path folder_;
};

TEST_F(ModelArgument, IdsAreForTheHub) {
  for (const char* id :
       {"NovaSearch/stella_en_400M_v5", "bert-base-uncased", "org/name.v1", "sentence-transformers/all"}) {
    EXPECT_EQ(why_no_model(id), "") << id;
  }
}

// One rule with the hub, which has no such repositories.
TEST_F(ModelArgument, IdsThatTheHubCannotHave) {
  for (const char* id : {"org/na--me", "na..me", "org/name.git", "-org/name"}) {
    expect_says(id, {"neither a directory nor a repository's id", id});
  }
  expect_says(std::string(97, 'a'), {"neither a directory nor a repository's id"});
}

TEST_F(ModelArgument, PathsThatAreNotThere) {
  for (const char* path :
       {"/no/such", "./model", "../model", "models/v1/small", "model/", "~/model", "C:\\model", "."}) {
    if (fs::exists(path)) continue;
    expect_says(path, {"there is no directory", path, "config.json"});
  }
  expect_says("~/model", {"shell"});
}

TEST_F(ModelArgument, FilesAreSaidToBeFiles) {
  expect_says(make("weights.xyz"), {"is a file", "weights.xyz", "config.json"});
  expect_says("model.safetensors", {"no directory"});
  make("config.json");
  expect_says(make("model.safetensors"), {"is a file", "give the directory that holds it", folder_.c_str()});
}

TEST_F(ModelArgument, LlamaCppsFormatIsNamed) {
  expect_says(make("stella.Q8_0.gguf"), {"is a file in llama.cpp's format", "model.safetensors"});
  expect_says("org/name/stella.GGUF", {"names a file in llama.cpp's format", "model.safetensors"});
  expect_says("stella-gguf.gguf", {"llama.cpp"});
}

TEST_F(ModelArgument, WhatNoRepositoryCanBeCalled) {
  expect_says("", {"empty"});
  for (const char* name : {"org/-name", "a b", "org/.hidden", "\xc3\xa9t\xc3\xa9"})
    expect_says(name, {"neither", name});
}

}  // namespace
}  // namespace stella::api
