// Attention of a few queries over all keys of their sequence, with the running softmax of Milakov and Gimelshein
// (arXiv:1805.02867) over blocks of keys that are counted from the sequence's start.
#pragma once

namespace stella::kernels {
namespace {

constexpr std::size_t kKeyBlock = 128;
constexpr std::size_t kQueryPanels = 16;  // row panels that share a block of keys while it is in cache
constexpr std::size_t kQueryBlock = kQueryPanels * kMr;
constexpr std::size_t kMaxHeadDim = 512;
constexpr std::size_t kHeadBlock = 64;  // columns of queries and keys multiplied at a time

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Rows of one head lie far apart in memory, each too short for the processor to see where reading goes: the code calls
// for them some rows ahead, to the second-level cache.
constexpr std::size_t kRowsAhead = 16;

inline void prefetch_row(const float* row, std::size_t n) {
  for (std::size_t i = 0; i < n; i += 16) __builtin_prefetch(row + i, 0, 2);
}

/// Prefetches keys [first, first + count) of a block, as far as there are so many, and for their values.
inline void prefetch_keys(const PackKeys& p, std::size_t first, std::size_t count) {
  for (std::size_t key = first; key < first + count && key < p.keys; ++key) {
    prefetch_row(p.k + key * p.stride, p.head_dim);
    prefetch_row(p.v + key * p.stride, p.head_dim);
  }
}

/// Prefetches the rows that the results of queries [first, first + rows) will be written to.
inline void prefetch_results(const AttendBlock& t, std::size_t first, std::size_t rows) {
  for (std::size_t i = first; i < first + rows; ++i) prefetch_row(t.out + i * t.out_stride, t.head_dim);
}

/// out = x rotated by the angles of one position: pairs (i, i + head_dim/2).
void rotate(const float* x, std::size_t head_dim, const float* cos, const float* sin, Vec scale, float* out) {
  const std::size_t half = head_dim / 2;
  for (std::size_t i = 0; i < half; i += Vec::kWidth) {
    const std::size_t c = half - i;
    const Vec a = load_first(x + i, c);
    const Vec b = load_first(x + half + i, c);
    const Vec cosine = load_first(cos + i, c);
    const Vec sine = load_first(sin + i, c);
    store_first(out + i, (a * cosine - b * sine) * scale, c);
    store_first(out + half + i, (b * cosine + a * sine) * scale, c);
  }
}

/// A block of keys: k (head_dim, width), transposed, then v (width, head_dim rounded up to kNr), where width is the
/// number of keys rounded up to kNr.
struct KeyBlock {
  std::size_t width;
  std::size_t v_width;
  std::size_t v_at;  // floats
  KeyBlock(std::size_t keys, std::size_t head_dim)
      : width(round_up(keys, kNr)), v_width(round_up(head_dim, kNr)), v_at(width * head_dim) {}
  std::size_t floats() const { return v_at + width * v_width; }
};

std::size_t key_block_bytes(std::size_t keys, std::size_t head_dim) {
  return round_up(KeyBlock(keys, head_dim).floats() * sizeof(float), 64);
}

/// Keys [first, first + kWidth) of one block, rotated where asked and zero past the last, to columns of k_out.
inline void pack_some_keys(const PackKeys& p, std::size_t first, std::size_t width) {
  constexpr std::size_t kWidth = Vec::kWidth;
  const std::size_t half = p.head_dim / 2;
  const float* rows[kWidth];
  const std::size_t real = p.keys <= first ? 0 : p.keys - first < kWidth ? p.keys - first : kWidth;
  for (std::size_t i = 0; i < real; ++i) {
    const std::size_t key = first + i;
    rows[i] = p.k + key * p.stride;
    if (p.cos != nullptr) {
      float* rotated = static_cast<float*>(p.scratch) + i * p.head_dim;
      rotate(rows[i], p.head_dim, p.cos + key * half, p.sin + key * half, all(1.0F), rotated);
      rows[i] = rotated;
    }
  }
  for (std::size_t d = 0; d < p.head_dim; d += kWidth) {
    const std::size_t count = p.head_dim - d < kWidth ? p.head_dim - d : kWidth;
    Vec square[kWidth];
    for (std::size_t i = 0; i < kWidth; ++i) {
      square[i] = i >= real ? zero() : count == kWidth ? load(rows[i] + d) : load_first(rows[i] + d, count);
    }
    transpose(square);
    for (std::size_t i = 0; i < count; ++i) store(static_cast<float*>(p.out) + (d + i) * width + first, square[i]);
  }
}

void pack_keys(const PackKeys& p) {
  const KeyBlock block(p.keys, p.head_dim);
  prefetch_keys(p, 0, kRowsAhead);
  for (std::size_t first = 0; first < block.width; first += Vec::kWidth) {
    prefetch_keys(p, first + kRowsAhead, Vec::kWidth);
    pack_some_keys(p, first, block.width);
  }
  for (std::size_t key = 0; key < p.keys; ++key) {
    float* out = static_cast<float*>(p.out) + block.v_at + key * block.v_width;
    copy_floats(p.v + key * p.stride, p.head_dim, out);
    for (std::size_t d = p.head_dim; d < block.v_width; ++d) out[d] = 0.0F;
  }
}

/// The scratch of one task, carved from one array.
struct AttendScratch {
  std::size_t q_panel;    // floats of one packed query panel
  std::size_t out_width;  // head_dim rounded up to kNr
  float* q;               // (kQueryPanels, q_panel): kMr rows in blocks of kHeadBlock columns
  float* out;             // (kQueryBlock, out_width): sums of weighted values
  float* scores;          // (kMr, kKeyBlock)
  float* peak;            // (kQueryBlock): the largest score so far
  float* total;           // (kQueryBlock, Vec::kWidth): sums of weights, by lane

  AttendScratch(float* base, std::size_t head_dim)
      : q_panel(round_up(head_dim, kHeadBlock) * kMr), out_width(round_up(head_dim, kNr)), q(base) {
    out = q + kQueryPanels * q_panel;
    scores = out + kQueryBlock * out_width;
    total = scores + kMr * kKeyBlock;
    peak = total + kQueryBlock * Vec::kWidth;
  }
};

std::size_t attend_scratch(std::size_t head_dim) {
  const std::size_t floats = kQueryPanels * round_up(head_dim, kHeadBlock) * kMr +
                             kQueryBlock * round_up(head_dim, kNr) + kMr * kKeyBlock + kQueryBlock * Vec::kWidth +
                             kQueryBlock;
  const std::size_t rotated_keys = Vec::kWidth * head_dim;
  return sizeof(float) * (floats > rotated_keys ? floats : rotated_keys);
}

/// Queries rotated, and scaled so that scores come out in units of log 2.
void pack_queries(const AttendBlock& t, const AttendScratch& s, std::size_t panel_rows) {
  const std::size_t half = t.head_dim / 2;
  const Vec scale = all(1.44269504088896341F / root(static_cast<float>(t.head_dim)));
  for (std::size_t i = 0; i < kRowsAhead && i < t.queries; ++i) prefetch_row(t.q + i * t.q_stride, t.head_dim);
  for (std::size_t i = 0; i < t.queries; ++i) {
    const float* x = t.q + i * t.q_stride;
    if (i + kRowsAhead < t.queries) prefetch_row(x + kRowsAhead * t.q_stride, t.head_dim);
    float* rotated = s.scores;  // not in use yet, and at least one row long
    if (t.cos != nullptr) {
      rotate(x, t.head_dim, t.cos + i * half, t.sin + i * half, scale, rotated);
    } else {
      for (std::size_t d = 0; d < t.head_dim; d += Vec::kWidth) {
        store_first(rotated + d, load_first(x + d, t.head_dim - d) * scale, t.head_dim - d);
      }
    }
    float* to = s.q + i / panel_rows * s.q_panel + i % panel_rows * kHeadBlock;
    for (std::size_t d = 0; d < t.head_dim; d += kHeadBlock, to += kMr * kHeadBlock) {
      copy_floats(rotated + d, t.head_dim - d < kHeadBlock ? t.head_dim - d : kHeadBlock, to);
    }
  }
}

/// Scores of one row become weights against the new peak; sums so far are scaled down to it.
void soften_row(const AttendScratch& s, std::size_t row, float* scores, std::size_t keys) {
  Vec top = all(s.peak[row]);
  std::size_t i = 0;
  for (; i + Vec::kWidth <= keys; i += Vec::kWidth) top = max(top, load(scores + i));
  float peak = max_lane(top);
  for (; i < keys; ++i) peak = peak < scores[i] ? scores[i] : peak;
  float* total = s.total + row * Vec::kWidth;
  Vec sum = load(total);
  if (peak != s.peak[row]) {
    const Vec shrink = exp2_negative(all(s.peak[row] - peak));
    sum = sum * shrink;
    float* out = s.out + row * s.out_width;
    for (std::size_t d = 0; d < s.out_width; d += Vec::kWidth) store(out + d, load(out + d) * shrink);
    s.peak[row] = peak;
  }
  const Vec highest = all(peak);
  for (i = 0; i + Vec::kWidth <= keys; i += Vec::kWidth) {
    const Vec weight = exp2_negative(load(scores + i) - highest);
    store(scores + i, weight);
    sum = sum + weight;
  }
  if (i < keys) {
    const Vec weight = keep_first(exp2_negative(load(scores + i) - highest), keys - i);
    store(scores + i, weight);
    sum = sum + weight;
  }
  store(total, sum);
}

/// Rows [first, first + rows) of the query block against one block of keys.
void attend_panel(const AttendBlock& t, const AttendScratch& s, std::size_t first, std::size_t rows, const float* q,
                  const float* k, std::size_t keys) {
  const std::size_t width = round_up(keys, kNr);
  const float* v = k + KeyBlock(keys, t.head_dim).v_at;
  for (std::size_t column = 0; column < width; column += kNr) {
    for (std::size_t d = 0; d < t.head_dim; d += kHeadBlock) {
      const std::size_t depth = t.head_dim - d < kHeadBlock ? t.head_dim - d : kHeadBlock;
      run_tile_f32<kHeadBlock>(rows, depth, q + d * kMr, k + d * width + column, width, s.scores + column, kKeyBlock,
                               d == 0);
    }
  }
  for (std::size_t r = 0; r < rows; ++r) soften_row(s, first + r, s.scores + r * kKeyBlock, keys);
  for (std::size_t column = 0; column < s.out_width; column += kNr) {
    run_tile_f32<kKeyBlock>(rows, keys, s.scores, v + column, s.out_width, s.out + first * s.out_width + column,
                            s.out_width, false);
  }
}

void attend(const AttendBlock& t) {
  const AttendScratch s(static_cast<float*>(t.scratch), t.head_dim);
  const std::size_t panels = (t.queries + kMr - 1) / kMr;
  const std::size_t panel_rows = (t.queries + panels - 1) / panels;
  pack_queries(t, s, panel_rows);
  for (std::size_t i = 0; i < t.queries; ++i) s.peak[i] = -3.0e38F;
  for (std::size_t i = 0; i < t.queries * Vec::kWidth; i += Vec::kWidth) store(s.total + i, zero());
  for (std::size_t i = 0; i < t.queries * s.out_width; i += Vec::kWidth) store(s.out + i, zero());

  const auto* block = static_cast<const unsigned char*>(t.blocks);
  for (std::size_t key = 0; key < t.keys; key += kKeyBlock, block += t.block_stride) {
    const std::size_t keys = t.keys - key < kKeyBlock ? t.keys - key : kKeyBlock;
    const auto* k = reinterpret_cast<const float*>(block);
    const float* q = s.q;
    for (std::size_t first = 0; first < t.queries; first += panel_rows, q += s.q_panel) {
      const std::size_t rows = t.queries - first < panel_rows ? t.queries - first : panel_rows;
      if (key + keys == t.keys) prefetch_results(t, first, rows);
      attend_panel(t, s, first, rows, q, k, keys);
    }
  }
  for (std::size_t i = 0; i < t.queries; ++i) {
    const Vec inverse = all(1.0F / sum_lanes(load(s.total + i * Vec::kWidth)));
    const float* sums = s.out + i * s.out_width;
    float* out = t.out + i * t.out_stride;
    for (std::size_t d = 0; d < t.head_dim; d += Vec::kWidth) {
      store_first(out + d, load(sums + d) * inverse, t.head_dim - d);
    }
  }
}

constexpr AttentionOps attention_ops() {
  return {kKeyBlock, kQueryBlock, kMaxHeadDim, key_block_bytes, attend_scratch, pack_keys, attend};
}

}  // namespace
}  // namespace stella::kernels
