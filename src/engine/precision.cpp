#include "engine/precision.hpp"

#include "stella/error.hpp"

#include <string>

namespace stella::engine {

Precision resolve_precision(Precision wanted) {
  if (wanted == Precision::automatic || wanted == Precision::f32) return Precision::f32;
  throw Error(Errc::invalid_argument,
              std::string("precision ") + to_string(wanted) + " is not available in this version; use f32 or auto");
}

}  // namespace stella::engine
