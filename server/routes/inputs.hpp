// Texts and token ids of a request, in the order in which they came.
#pragma once

#include "base/json.hpp"
#include "server/routes/facts.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace stella::server {

struct Inputs {
  std::vector<std::string> texts{};
  std::vector<TokenIds> ids{};
  std::vector<bool> is_ids{};    ///< For each input, whether it is the next of `ids` or the next of `texts`.
  bool single = false;           ///< Not a list.
  std::size_t characters = 0;    ///< Code points of the texts.
  std::string field = "inputs";  ///< What the request calls them.

  std::size_t size() const noexcept { return is_ids.size(); }
};

/// string | [id…] | array of those; a list of numbers is one input. Throws ApiError: wrong_shape, or empty where the
/// list, a text or a list of ids is.
Inputs parse_inputs(const json::value& value, std::string_view name);

/// Throws ApiError for an id that the model's vocabulary does not have and, with `template_wanted`, for ids without the
/// tokens that the model's template adds: then they come from another tokenizer.
void check_ids(const Inputs& inputs, const ModelFacts& facts, bool template_wanted);

/// 250 characters a token are enough for any text that fits: what is beyond is cut off where it will be truncated
/// anyway, else refused by ApiError.
void limit_characters(Inputs& inputs, const ModelFacts& facts, const EmbedOptions& options);

}  // namespace stella::server
