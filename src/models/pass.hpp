// What the encoders' forward passes have in common.
#pragma once

#include "models/encoder_types.hpp"
#include "models/parts.hpp"

#include <cstddef>
#include <initializer_list>
#include <vector>

namespace stella::models {

/// One running forward pass.
struct Pass {
  const kernels::Kernels& kernels;
  ParallelTeam& team;
  kernels::Workspace& workspace;
  Precision precision = Precision::f32;  // of the encoder's products
  ColumnMaxima* maxima = nullptr;        // sees every product's input, where given
  const FunctionRef<void()>* before_product = nullptr;
};

/// What a pass runs with.
struct PassResources {
  ParallelTeam& team;
  Activations& scratch;
  Precision precision = Precision::f32;
  ColumnMaxima* maxima = nullptr;
  const FunctionRef<void()>* before_product = nullptr;  // called by apply(), where given
};

/// A pass as the resources say.
Pass make_pass(const kernels::Kernels& kernels, const PassResources& resources);

/// What attention is told in every layer of a pass: `qkv` in, `out` out; rotated where `rope` is given.
kernels::AttentionArgs attention_args(const weights::EncoderSpec& spec, const PackedBatch& batch, Precision precision,
                                      kernels::RopeTable rope, const float* qkv, float* out);

/// Checks offsets and ids. Throws Error(invalid_argument). Returns the tokens of the longest sequence.
std::size_t check_batch(const PackedBatch& batch, std::size_t vocab_size);

/// Cuts the activations' buffer into parts of `sizes` floats, each on a cache line of its own; grows it where needed.
std::vector<float*> carve(Activations& scratch, std::initializer_list<std::size_t> sizes);

/// y (m, n) = x (m, k) Wᵀ + b (+ residual), or as the epilogue says.
void apply(const Pass& pass, const Linear& linear, const float* x, std::size_t m, float* y,
           kernels::Epilogue epilogue = kernels::Epilogue::none, const float* residual = nullptr);

/// Rows of one feed-forward step, so that the (rows, intermediate) buffer stays bounded however long a text is. Every
/// row's result is independent of the others, so cutting changes no bit.
std::size_t feed_forward_rows(std::size_t tokens) noexcept;

void layer_norm(const Pass& pass, const Norm& norm, float eps, std::size_t m, float* x);

}  // namespace stella::models
