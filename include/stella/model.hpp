// Stella models: text in, vectors out, asynchronously. See capable.hpp for the operations that all models share.
#pragma once

#include "stella/capable.hpp"          // IWYU pragma: export
#include "stella/embedding_model.hpp"  // IWYU pragma: export
#include "stella/loaded_model.hpp"     // IWYU pragma: export
#include "stella/runtime.hpp"          // IWYU pragma: export
#include "stella/types.hpp"            // IWYU pragma: export
