// One forward pass: texts of several requests to the rows of their results.
#pragma once

#include "base/thread_pool.hpp"
#include "base/unique_function.hpp"
#include "engine/job.hpp"
#include "models/encoder.hpp"

#include <cstddef>
#include <memory>
#include <span>

namespace stella::engine {

/// One text of a request, with tokens.
struct PassText {
  std::shared_ptr<EmbeddingJob> job;
  std::size_t text = 0;
  std::size_t tokens() const noexcept { return job->ids(text).size(); }
};

/// Computes texts of one model and writes their vectors, and their tokens' states where those are wanted. `go_on` as in
/// models::Encoder::forward(). False where it ended the pass.
bool run_forward_pass(std::span<const PassText> batch, ParallelTeam& team, models::Activations& scratch,
                      FunctionRef<bool()> go_on);

}  // namespace stella::engine
