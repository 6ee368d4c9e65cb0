// Splits attention into tasks: (sequence, head, some queries).
#include "kernels/kernels.hpp"
#include "kernels/table.hpp"
#include "kernels/workspace.hpp"
#include "stella/error.hpp"

#include <algorithm>

namespace stella::kernels {
namespace {

constexpr std::size_t kMaxHeadDim = 512;
constexpr std::size_t kPackedBytes = std::size_t{8} << 20U;  // of keys and values packed at once, where heads allow

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

void check(const AttentionArgs& args) {
  const bool good = args.heads != 0 && args.kv_heads != 0 && args.heads % args.kv_heads == 0 && args.head_dim != 0 &&
                    args.head_dim <= kMaxHeadDim && !args.offsets.empty() &&
                    (args.rope.cos == nullptr || args.head_dim % 2 == 0);
  if (!good) throw Error(Errc::invalid_argument, "attention: unsupported numbers of heads or head size (at most 512)");
}

const AttentionOps& choose_ops(const Kernels& kernels, const AttentionArgs& args) {
  const AttentionOps& low = args.precision == Precision::int16 ? kernels.int16_attention : kernels.low_attention;
  const bool narrow = args.precision != Precision::f32 && args.precision != Precision::automatic;
  return narrow && args.head_dim <= low.most_head_dim ? low : kernels.attention;
}

/// One call: a group of key/value heads at a time is packed, then attended to.
class Attention {
 public:
  Attention(const AttentionOps& ops, const AttentionArgs& args, Workspace::Impl& scratch, std::size_t workers)
      : ops_(ops),
        args_(args),
        scratch_(scratch),
        stride_((args.heads + 2 * args.kv_heads) * args.head_dim),
        block_bytes_(ops.block_bytes(ops.key_block, args.head_dim)),
        worker_bytes_(round_up(ops.scratch_bytes(args.head_dim), 64)) {
    list_blocks();
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a batch without tokens does not come here.
    group_ = std::clamp<std::size_t>(kPackedBytes / head_bytes_, 1, args.kv_heads);
    packed_ = scratch.activations.at_least(group_ * head_bytes_);
    per_worker_ = scratch.per_worker.at_least(workers * worker_bytes_);
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
    scratch_.packed_offset.clear();
    for (std::size_t s = 0; s + 1 < args_.offsets.size(); ++s) {
      scratch_.packed_offset.push_back(head_bytes_);
      for (std::size_t i = 0; i < length(s); i += ops_.key_block) {
        scratch_.key_blocks.push_back({s, i});
        head_bytes_ += ops_.block_bytes(std::min(ops_.key_block, length(s) - i), args_.head_dim);
      }
      for (std::size_t i = 0; i < length(s); i += ops_.query_block) scratch_.query_blocks.push_back({s, i});
    }
  }
  std::size_t begin(std::size_t sequence) const { return static_cast<std::size_t>(args_.offsets[sequence]); }
  std::size_t length(std::size_t sequence) const { return begin(sequence + 1) - begin(sequence); }
  const float* rope(const float* table, std::size_t position) const {
    return table == nullptr ? nullptr : table + position * (args_.head_dim / 2);
  }
  /// The first block of a sequence.
  std::byte* packed(std::size_t sequence, std::size_t slot) const {
    return packed_ + slot * head_bytes_ + scratch_.packed_offset[sequence];
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
    p.out = packed(block.sequence, slot) + block.first / ops_.key_block * block_bytes_;
    p.scratch = per_worker_ + worker * worker_bytes_;
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
    t.blocks = packed(block.sequence, slot);
    t.block_stride = block_bytes_;
    t.out = args_.out + (token * args_.heads + head) * args_.head_dim;
    t.out_stride = args_.heads * args_.head_dim;
    t.scratch = per_worker_ + worker * worker_bytes_;
    ops_.attend(t);
  }

  const AttentionOps& ops_;
  const AttentionArgs& args_;
  Workspace::Impl& scratch_;
  std::size_t stride_;           // floats between tokens in qkv
  std::size_t block_bytes_;      // of a whole block of keys
  std::size_t worker_bytes_;     // scratch of one worker
  std::size_t head_bytes_ = 0;   // packed keys and values of all sequences of one head
  std::size_t group_ = 0;        // key/value heads packed at once
  std::byte* packed_ = nullptr;  // (group, head_bytes)
  std::byte* per_worker_ = nullptr;
};

}  // namespace

void attention(const Kernels& kernels, const AttentionArgs& args, ParallelTeam& team, Workspace& workspace) {
  check(args);
  if (args.offsets.back() == 0) return;
  Attention(choose_ops(kernels, args), args, workspace.impl(), team.size()).run(team);
}

}  // namespace stella::kernels
