#include "stella/options.hpp"

#include "stella/error.hpp"

#include <array>

namespace stella {
namespace {

template <class Enum>
struct Name {
  Enum value;
  const char* text;
};

constexpr std::array<Name<Precision>, 5> kPrecisions{{{Precision::automatic, "auto"},
                                                      {Precision::f32, "f32"},
                                                      {Precision::bf16, "bf16"},
                                                      {Precision::int16, "int16"},
                                                      {Precision::int8, "int8"}}};

constexpr std::array<Name<KernelSet>, 4> kKernelSets{{{KernelSet::automatic, "auto"},
                                                      {KernelSet::portable, "portable"},
                                                      {KernelSet::avx2, "avx2"},
                                                      {KernelSet::avx512, "avx512"}}};

template <class Names, class Enum>
const char* name_of(const Names& names, Enum value) noexcept {
  for (const auto& name : names) {
    if (name.value == value) return name.text;
  }
  return "unknown";
}

template <class Names>
auto value_of(const Names& names, const std::string& text, const char* what) {
  std::string known;
  for (const auto& name : names) {
    if (text == name.text) return name.value;
    known += known.empty() ? name.text : std::string(", ") + name.text;
  }
  throw Error(Errc::invalid_argument, std::string("unknown ") + what + " '" + text + "'; choose one of: " + known);
}

}  // namespace

const char* to_string(Precision precision) noexcept {
  return name_of(kPrecisions, precision);
}
const char* to_string(KernelSet kernels) noexcept {
  return name_of(kKernelSets, kernels);
}
Precision parse_precision(const std::string& name) {
  return value_of(kPrecisions, name, "precision");
}
KernelSet parse_kernel_set(const std::string& name) {
  return value_of(kKernelSets, name, "kernel set");
}

}  // namespace stella
