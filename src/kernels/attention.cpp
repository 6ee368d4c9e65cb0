// Splits attention into tasks: (sequence, head, some queries).
#include "kernels/kernels.hpp"
#include "kernels/table.hpp"
#include "kernels/workspace.hpp"
#include "stella/error.hpp"

#include <algorithm>

namespace stella::kernels {
namespace {

constexpr std::size_t kMostHeadDim = 512;
constexpr std::size_t kPackedBytes = std::size_t{8} << 20U;  // of keys and values packed at once, where heads allow

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

void check(const AttentionArgs& args) {
  const bool good = args.heads != 0 && args.kv_heads != 0 && args.heads % args.kv_heads == 0 && args.head_dim != 0 &&
                    args.head_dim <= kMostHeadDim && !args.offsets.empty() &&
                    (args.rope.cos == nullptr || args.head_dim % 2 == 0);
  if (!good) throw Error(Errc::invalid_argument, "attention: unsupported numbers of heads or head size (at most 512)");
}

/// One call: a group of key/value heads at a time is packed, then attended to.
class Attention {
 public:
  Attention(const AttentionOps& ops, const AttentionArgs& args, Workspace::Impl& scratch, std::size_t workers)
      : ops_(ops), args_(args), scratch_(scratch), stride_((args.heads + 2 * args.kv_heads) * args.head_dim) {
    list_blocks();
    v_width_ = round_up(args.head_dim, ops.nr);
    const std::size_t head_floats = padded_keys_ * (args.head_dim + v_width_);
    group_ = std::clamp<std::size_t>(kPackedBytes / (head_floats * sizeof(float)), 1, args.kv_heads);
    k_ = reinterpret_cast<float*>(scratch.activations.at_least(group_ * head_floats * sizeof(float)));
    v_ = k_ + group_ * padded_keys_ * args.head_dim;
    worker_floats_ = round_up(ops.scratch_floats(args.head_dim), 16);
    per_worker_ = reinterpret_cast<float*>(scratch.per_worker.at_least(workers * worker_floats_ * sizeof(float)));
  }

  void run(ParallelTeam& team) {
    const std::size_t shared = args_.heads / args_.kv_heads;
    for (std::size_t first = 0; first < args_.kv_heads; first += group_) {
      const std::size_t kv_heads = std::min(group_, args_.kv_heads - first);
      team.run(scratch_.key_blocks.size() * kv_heads, [&](std::size_t task, std::size_t worker) {
        pack(scratch_.key_blocks[task / kv_heads], first, task % kv_heads, worker);
      });
      const std::size_t heads = kv_heads * shared;
      team.run(scratch_.query_blocks.size() * heads, [&](std::size_t task, std::size_t worker) {
        const std::size_t head = task % heads;
        attend(scratch_.query_blocks[task / heads], first * shared + head, head / shared, worker);
      });
    }
  }

 private:
  void list_blocks() {
    scratch_.key_blocks.clear();
    scratch_.query_blocks.clear();
    scratch_.padded_offset.clear();
    for (std::size_t s = 0; s + 1 < args_.offsets.size(); ++s) {
      scratch_.padded_offset.push_back(padded_keys_);
      for (std::size_t i = 0; i < length(s); i += ops_.key_block) scratch_.key_blocks.push_back({s, i});
      for (std::size_t i = 0; i < length(s); i += ops_.query_block) scratch_.query_blocks.push_back({s, i});
      padded_keys_ += round_up(length(s), ops_.nr);
    }
  }
  std::size_t begin(std::size_t sequence) const { return static_cast<std::size_t>(args_.offsets[sequence]); }
  std::size_t length(std::size_t sequence) const { return begin(sequence + 1) - begin(sequence); }
  const float* rope(const float* table, std::size_t position) const {
    return table == nullptr ? nullptr : table + position * (args_.head_dim / 2);
  }
  float* packed_k(std::size_t sequence, std::size_t key, std::size_t slot) const {
    return k_ + (slot * padded_keys_ + scratch_.padded_offset[sequence] + key) * args_.head_dim;
  }
  float* packed_v(std::size_t sequence, std::size_t key, std::size_t slot) const {
    return v_ + (slot * padded_keys_ + scratch_.padded_offset[sequence] + key) * v_width_;
  }

  void pack(Workspace::Impl::QueryBlock block, std::size_t first, std::size_t slot, std::size_t worker) const {
    PackKeys p;
    p.k = args_.qkv + (begin(block.sequence) + block.first) * stride_ + (args_.heads + first + slot) * args_.head_dim;
    p.v = p.k + args_.kv_heads * args_.head_dim;
    p.stride = stride_;
    p.keys = std::min(ops_.key_block, length(block.sequence) - block.first);
    p.head_dim = args_.head_dim;
    p.cos = rope(args_.rope.cos, block.first);
    p.sin = rope(args_.rope.sin, block.first);
    p.k_out = packed_k(block.sequence, block.first, slot);
    p.v_out = packed_v(block.sequence, block.first, slot);
    p.scratch = per_worker_ + worker * worker_floats_;
    ops_.pack_keys(p);
  }

  void attend(Workspace::Impl::QueryBlock block, std::size_t head, std::size_t slot, std::size_t worker) const {
    const std::size_t token = begin(block.sequence) + block.first;
    AttendBlock t;
    t.q = args_.qkv + token * stride_ + head * args_.head_dim;
    t.q_stride = stride_;
    t.keys = length(block.sequence);
    t.queries = std::min(ops_.query_block, t.keys - block.first);
    t.head_dim = args_.head_dim;
    t.cos = rope(args_.rope.cos, block.first);
    t.sin = rope(args_.rope.sin, block.first);
    t.k = packed_k(block.sequence, 0, slot);
    t.v = packed_v(block.sequence, 0, slot);
    t.out = args_.out + (token * args_.heads + head) * args_.head_dim;
    t.out_stride = args_.heads * args_.head_dim;
    t.scratch = per_worker_ + worker * worker_floats_;
    ops_.attend(t);
  }

  const AttentionOps& ops_;
  const AttentionArgs& args_;
  Workspace::Impl& scratch_;
  std::size_t stride_;           // floats between tokens in qkv
  std::size_t padded_keys_ = 0;  // keys of all sequences, each rounded up to nr
  std::size_t v_width_ = 0;
  std::size_t group_ = 0;  // key/value heads packed at once
  float* k_ = nullptr;     // (group, padded_keys, head_dim), each block of keys transposed
  float* v_ = nullptr;     // (group, padded_keys, v_width)
  std::size_t worker_floats_ = 0;
  float* per_worker_ = nullptr;
};

}  // namespace

void attention(const Kernels& kernels, const AttentionArgs& args, ParallelTeam& team, Workspace& workspace) {
  check(args);
  if (args.offsets.back() == 0) return;
  Attention(kernels.attention, args, workspace.impl(), team.size()).run(team);
}

}  // namespace stella::kernels
