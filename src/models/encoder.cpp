#include "models/encoder.hpp"

#include "models/pass.hpp"
#include "models/post_norm.hpp"
#include "models/qwen2.hpp"
#include "stella/error.hpp"

#include <utility>

namespace stella::models {

namespace {

[[noreturn]] void not_implemented(const weights::EncoderSpec& spec) {
  throw Error(Errc::unsupported_model, "model_type '" + spec.model_type + "' is not implemented");
}

}  // namespace

std::unique_ptr<const Encoder> make_encoder(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                            const LoadContext& context) {
  switch (spec.architecture) {
    case weights::Architecture::new_model:
      return make_new_model(spec, tensors, context);
    case weights::Architecture::qwen2:
      return make_qwen2(spec, tensors, context);
    case weights::Architecture::bert:
      return make_bert(spec, tensors, context);
  }
  not_implemented(spec);
}

void pack_encoder(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
                  std::span<Trial> trials) {
  switch (spec.architecture) {
    case weights::Architecture::new_model:
      return pack_new_model(spec, tensors, context, trials);
    case weights::Architecture::qwen2:
      return pack_qwen2(spec, tensors, context, trials);
    case weights::Architecture::bert:
      return pack_bert(spec, tensors, context, trials);
  }
  not_implemented(spec);
}

struct DenseHead::Impl {
  const kernels::Kernels* kernels;
  std::size_t in;
  std::size_t out;
  std::size_t bytes;
  Linear linear;
};

DenseHead::DenseHead(const weights::HeadSpec& spec, const weights::Tensors& tensors, const LoadContext& context) {
  // A head is a small part of the work and decides the vector: always f32.
  LoadContext exact = context;
  exact.precision = Precision::f32;
  Loader loader(tensors, exact, "");
  const auto load = [&] {
    std::vector<Loader::Part> biases;
    if (spec.bias) biases.push_back({"linear.bias", spec.out});
    return loader.linear({{"linear.weight", spec.out}}, spec.in, biases);
  };
  load();
  loader.start_packing();
  Linear linear = load();
  impl_ =
      std::make_unique<const Impl>(Impl{context.kernels, spec.in, spec.out, loader.packed_bytes(), std::move(linear)});
}

DenseHead::DenseHead(DenseHead&&) noexcept = default;
DenseHead::~DenseHead() = default;

std::size_t DenseHead::in() const noexcept {
  return impl_->in;
}
std::size_t DenseHead::out() const noexcept {
  return impl_->out;
}
std::size_t DenseHead::weight_bytes() const noexcept {
  return impl_->bytes;
}

void DenseHead::forward(const float* x, std::size_t m, float* out, ParallelTeam& team,
                        kernels::Workspace& workspace) const {
  apply({*impl_->kernels, team, workspace}, impl_->linear, x, m, out);
}

}  // namespace stella::models
