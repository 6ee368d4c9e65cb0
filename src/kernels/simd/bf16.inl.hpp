// Activations in bf16, for the instructions that multiply pairs of them.
#pragma once

namespace stella::kernels {
namespace {

/// To the nearest bf16, ties to even.
inline __m256i to_bf16(Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

template <std::size_t Kc>
void pack_rows_bf16(const PackRows& p) {
  auto* out = static_cast<std::uint16_t*>(p.out);
  for (std::size_t row = 0; row < p.rows; ++row) {
    for (std::size_t i = 0; i < p.k_padded; i += Vec::kWidth) {  // k_padded and the block are multiples of it
      const Vec x = i < p.k ? load_first(p.x + row * p.k + i, p.k - i) : zero();
      std::uint16_t* to = out + (i / Kc * p.block_rows + row) * Kc + i % Kc;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), to_bf16(x));
    }
  }
}

}  // namespace
}  // namespace stella::kernels
