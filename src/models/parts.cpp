#include "models/parts.hpp"

#include <array>

namespace stella::models {

Linear PartVisitor::linear(const std::vector<Rows>& tensors, std::size_t k, const std::vector<Rows>& biases) {
  Linear linear{tensors.front().name, matrix(tensors, k, kernels::RowOrder::plain), {}};
  for (const Rows& bias : biases) {
    const std::vector<float> more = values(bias.name, {bias.n});
    linear.bias.insert(linear.bias.end(), more.begin(), more.end());
  }
  return linear;
}

Linear PartVisitor::linear(const std::string& name, std::size_t n, std::size_t k) {
  return linear({{name + ".weight", n}}, k, {{name + ".bias", n}});
}

Linear PartVisitor::linear_without_bias(const std::string& name, std::size_t n, std::size_t k) {
  return linear({{name + ".weight", n}}, k, {});
}

Linear PartVisitor::up_gate(const std::string& name, std::size_t n, std::size_t k) {
  const std::array halves{Rows{name, 2 * n}};
  return {name, matrix(halves, k, kernels::RowOrder::interleaved), {}};
}

Linear PartVisitor::up_gate(const std::string& up, const std::string& gate, std::size_t n, std::size_t k) {
  const std::array both{Rows{up, n}, Rows{gate, n}};
  return {up, matrix(both, k, kernels::RowOrder::interleaved), {}};
}

Norm PartVisitor::norm(const std::string& name, std::size_t n) {
  return {values(name + ".weight", {n}), values(name + ".bias", {n})};
}

}  // namespace stella::models
