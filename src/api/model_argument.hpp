// What a model's name is that is neither a directory nor a repository's id.
#pragma once

#include <string>

namespace stella::api {

/// Why `model`, which is no directory, cannot name a model, in one line with what to give instead; empty where it may
/// be a repository's id. A name that looks like a path is not asked of the hub, which would say that there is no such
/// repository.
std::string why_no_model(const std::string& model);

}  // namespace stella::api
