// The subcommands. Each function adds one to the program and says how to run it.
#pragma once

#include "cli/options.hpp"

namespace stella::cli {

Command add_embed(CLI::App& root);
Command add_search(CLI::App& root);
Command add_similarity(CLI::App& root);
Command add_tokenize(CLI::App& root);
Command add_download(CLI::App& root);
Command add_models(CLI::App& root);
Command add_info(CLI::App& root);
Command add_verify(CLI::App& root);
/// The HTTP server (server/).
Command add_serve(CLI::App& root);
/// Load on a server that runs already.
Command add_bench(CLI::App& root);
Command add_cache(CLI::App& root);
/// Last: it completes what was added before it.
Command add_completion(CLI::App& root);

}  // namespace stella::cli
