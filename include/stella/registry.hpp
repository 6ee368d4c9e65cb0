// The models known by name.
#pragma once

#include "stella/types.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stella {

/// Registered models. The built-in ones are there from the start. Thread-safe: reads share, register_model() excludes.
class Registry {
 public:
  Registry();  ///< With the built-in models.
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// The built-in models, const; what models consult that were given no other (ModelOptions::registry).
  static const Registry& builtin();

  std::optional<ModelInfo> find(std::string_view registry_key) const;
  bool has_model(std::string_view registry_key) const;
  std::vector<std::string> keys() const;  ///< Sorted.
  std::map<std::string, std::size_t> count_by_provider() const;
  /// For models that are made afterwards with this registry. Throws Error(already_registered).
  void register_model(ModelInfo info);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stella
