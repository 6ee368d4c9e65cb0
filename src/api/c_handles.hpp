// What the handles of stella.h are.
#pragma once

#include "stella.h"
#include "stella/model.hpp"
#include "stella/runtime.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

struct stella_cancel {
  std::stop_source source{};
};

struct stella_options {
  stella::ModelOptions model{};  // its hub stays empty
  stella::RuntimeOptions runtime{};
  bool has_runtime = false;  // something of `runtime` was set
  std::optional<std::string> token{}, endpoint{}, home{};
  std::optional<bool> offline{};
};

struct stella_runtime {
  std::shared_ptr<stella::Runtime> runtime;
  std::string kernels;
};

struct stella_model {
  stella::Model model;
};

struct stella_description {
  stella::ModelDescription value;
  std::string precision{};
  std::string directory{};
  std::vector<std::pair<std::string, std::string>> prompts{};
};

struct stella_request {
  stella::EmbedRequest embed{};
  std::optional<std::chrono::milliseconds> timeout{};
  bool special_tokens = true;
};

struct stella_result {
  stella::EmbedResult value;
};

struct stella_tokens {
  std::vector<stella::Tokens> value;
};

namespace stella::c_api {

inline std::stop_token token_of(const stella_cancel* cancel) {
  return cancel != nullptr ? cancel->source.get_token() : std::stop_token();
}

}  // namespace stella::c_api
