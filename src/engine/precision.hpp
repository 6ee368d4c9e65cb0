// Which arithmetic a model is packed for.
#pragma once

#include "stella/options.hpp"

namespace stella::engine {

/// The precision to pack for when `wanted` was asked for: never automatic. `automatic` is f32, the one precision that
/// needs no calibration. Throws Error(invalid_argument) for one that this version does not have.
Precision resolve_precision(Precision wanted);

}  // namespace stella::engine
