/* NF4 back to numbers on a processor with AVX-512. kernels/avx512.py compiles and calls it.
 *
 *     out[i] = levels[code[i]] * absmax[i / block_size]
 *
 * A register holds 16 fp32 numbers, so one holds all levels of a block, already multiplied by its
 * scale and rounded. A single instruction looks up 16 numbers of 4 bytes there by their codes, or
 * 32 of 2 bytes: a table without memory, as the shuffle in kernels/warp.py is on a GPU.
 */
#include <immintrin.h>
#include <stdint.h>

enum dtype { FP32, FP16, BF16 }; /* the order of DTYPES in kernels/nf4.py */

/* The n lowest bits, of 32: which numbers or bytes are read and written where fewer are left. */
static inline uint32_t lowest(int64_t n) { return n < 32 ? (1u << n) - 1 : ~0u; }

static inline __m512i twice(__m256i x) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(x), x, 1);
}

/* 16 numbers in fp16, twice. */
static inline __m512i to_fp16(__m512 x) {
    return twice(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* 16 numbers in bf16, the upper half of fp32, twice: to the nearest, a tie to the even one. */
static inline __m512i to_bf16(__m512 x) {
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    up = _mm512_mask_mov_epi32(up, nan, _mm512_set1_epi32(0x7fc00000));
    return twice(_mm512_cvtepi32_epi16(_mm512_srli_epi32(up, 16)));
}

/* n numbers of 4 bytes. A byte becomes two lanes of 32 bits: its upper half, and all of it, of
 * which the instruction heeds the lowest 4 bits, the lower half. */
static inline void look_up_4(float *out, const uint8_t *codes, int64_t n, __m512 table) {
    for (int64_t i = 0; i < n; i += 16) {
        __m128i bytes = _mm_maskz_loadu_epi8(lowest((n - i + 1) / 2) & 0xff, codes + i / 2);
        __m512i pair = _mm512_cvtepu8_epi64(bytes);
        __m512i index = _mm512_or_si512(_mm512_srli_epi64(pair, 4), _mm512_slli_epi64(pair, 32));
        _mm512_mask_storeu_ps(out + i, lowest(n - i), _mm512_permutexvar_ps(index, table));
    }
}

/* n numbers of 2 bytes. As above, in lanes of 16 bits. Here the instruction heeds 5 bits; the fifth
 * is a bit of the upper half and makes no difference, since the table has everything twice. */
static inline void look_up_2(uint16_t *out, const uint8_t *codes, int64_t n, __m512i table) {
    for (int64_t i = 0; i < n; i += 32) {
        __m128i bytes = _mm_maskz_loadu_epi8(lowest((n - i + 1) / 2), codes + i / 2);
        __m512i pair = _mm512_cvtepu8_epi32(bytes);
        __m512i index = _mm512_or_si512(_mm512_srli_epi32(pair, 4), _mm512_slli_epi32(pair, 16));
        _mm512_mask_storeu_epi16(out + i, lowest(n - i), _mm512_permutexvar_epi16(index, table));
    }
}

/* n numbers in blocks of 2^block_bits. Their scales are absmax, or, where that is NULL,
 * map[absmax_codes] * absmax_scale + absmax_offset in blocks of 2^nested_bits. */
void dequantize(void *out, int dtype, int64_t n, const uint8_t *codes, const float *levels,
                int block_bits, const float *absmax, const uint8_t *absmax_codes, const float *map,
                const float *absmax_scale, const float *absmax_offset, int nested_bits,
                int n_threads) {
    __m512 level = _mm512_loadu_ps(levels);
    int64_t n_blocks = (n + (1ll << block_bits) - 1) >> block_bits;
#pragma omp parallel for num_threads(n_threads)
    for (int64_t block = 0; block < n_blocks; block++) {
        float scale = absmax ? absmax[block]
                             : map[absmax_codes[block]] * absmax_scale[block >> nested_bits]
                                   + *absmax_offset;
        __m512 x = _mm512_mul_ps(level, _mm512_set1_ps(scale));
        int64_t start = block << block_bits;
        int64_t left = n - start < 1ll << block_bits ? n - start : 1ll << block_bits;
        if (dtype == FP32)
            look_up_4((float *)out + start, codes + start / 2, left, x);
        else
            look_up_2((uint16_t *)out + start, codes + start / 2, left,
                      dtype == FP16 ? to_fp16(x) : to_bf16(x));
    }
}
