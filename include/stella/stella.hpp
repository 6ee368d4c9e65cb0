// Everything.
#pragma once

#include "stella/bundled.hpp"          // IWYU pragma: export
#include "stella/cache.hpp"            // IWYU pragma: export
#include "stella/capable.hpp"          // IWYU pragma: export
#include "stella/embedding_model.hpp"  // IWYU pragma: export
#include "stella/error.hpp"            // IWYU pragma: export
#include "stella/hub.hpp"              // IWYU pragma: export
#include "stella/loaded_model.hpp"     // IWYU pragma: export
#include "stella/log.hpp"              // IWYU pragma: export
#include "stella/model.hpp"            // IWYU pragma: export
#include "stella/options.hpp"          // IWYU pragma: export
#include "stella/packed_weights.hpp"   // IWYU pragma: export
#include "stella/registry.hpp"         // IWYU pragma: export
#include "stella/runtime.hpp"          // IWYU pragma: export
#include "stella/sync.hpp"             // IWYU pragma: export
