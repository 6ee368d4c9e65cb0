#include "models/encoder.hpp"

#include "models/encoder_kind.hpp"
#include "models/pass.hpp"
#include "models/rope.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <utility>

namespace stella::models {

namespace {

const EncoderKind& kind_of(const weights::EncoderSpec& spec) {
  switch (spec.architecture) {
    case weights::Architecture::new_model:
      return new_model_kind();
    case weights::Architecture::qwen2:
      return qwen2_kind();
    case weights::Architecture::bert:
      return bert_kind();
  }
  throw Error(Errc::unsupported_model, "model_type '" + spec.model_type + "' is not implemented");
}

}  // namespace

std::unique_ptr<const Encoder> make_encoder(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                                            const LoadContext& context) {
  return kind_of(spec).make(spec, tensors, context);
}

void pack_encoder(const weights::EncoderSpec& spec, const weights::Tensors& tensors, const LoadContext& context,
                  std::span<Trial> trials) {
  kind_of(spec).pack(spec, tensors, context, trials);
}

PackedBytes packed_bytes(const weights::EncoderSpec& spec, const weights::Tensors& tensors,
                         const kernels::Kernels& kernels, Precision precision) {
  const EncoderKind& kind = kind_of(spec);
  PartSizer sizer(tensors, find_prefix(tensors, kind.probe()), kernels, precision);
  kind.visit(spec, sizer);
  return {sizer.matrix_bytes() + sizer.table_bytes(), sizer.value_bytes() + Rope::max_bytes(spec),
          sizer.matrix_bytes() / std::max<std::size_t>(spec.layers, 1)};
}

std::size_t DenseHead::packed_bytes(const weights::HeadSpec& spec, const kernels::Kernels& kernels) {
  return kernels::packed_bytes(kernels, Precision::f32, kernels::RowOrder::plain, spec.out, spec.in) +
         (spec.bias ? spec.out * sizeof(float) : 0);
}

struct DenseHead::Impl {
  const kernels::Kernels* kernels;
  std::size_t in;
  std::size_t out;
  std::size_t bytes;
  Linear linear;
};

DenseHead::DenseHead(const weights::HeadSpec& spec, const weights::Tensors& tensors, const LoadContext& context) {
  const auto visit = [&](PartVisitor& visitor) {
    return spec.bias ? visitor.linear("linear", spec.out, spec.in)
                     : visitor.linear_without_bias("linear", spec.out, spec.in);
  };
  PartChecker checker(tensors, "");
  visit(checker);
  // A head is a small part of the work and decides the vector: always f32.
  PartPacker packer(tensors, "", {*context.kernels, *context.team, Precision::f32},
                    {context.on_progress, checker.source_bytes()});
  Linear linear = visit(packer);
  impl_ =
      std::make_unique<const Impl>(Impl{context.kernels, spec.in, spec.out, packer.packed_bytes(), std::move(linear)});
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
