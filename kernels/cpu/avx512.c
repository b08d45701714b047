/* NF4 on a CPU with AVX-512. kernels/cpu/avx512.py compiles and calls it; what it computes is the
 * specification in kernels/reference.py, bit for bit.
 *
 * A register holds 16 numbers of 4 bytes, so one holds all levels, or all thresholds. A single
 * instruction (permutexvar) looks 16 numbers up there by their indices, or 32 of 2 bytes: a table
 * without memory, as the shuffle in kernels/gpu/warp.py is on a GPU. */
#include <float.h>
#include <immintrin.h>
#include <stdint.h>

enum dtype { FP32, FP16, BF16 }; /* the order of DTYPES in kernels/nf4.py */

/* Returns a mask of the n lowest of 32 bits: the numbers or bytes that are left at the end. */
static inline uint32_t lowest(int64_t n) { return n < 32 ? (1u << n) - 1 : ~0u; }

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Quantize */

/* Loads up to 16 numbers as fp32, from x[i] on, with 0 after the last. */
static inline __m512 load(const void *x, int dtype, int64_t i, int64_t n) {
    __mmask16 there = (__mmask16)lowest(n);
    if (dtype == FP32) return _mm512_maskz_loadu_ps(there, (const float *)x + i);
    __m256i bits = _mm256_maskz_loadu_epi16(there, (const uint16_t *)x + i);
    if (dtype == FP16) return _mm512_cvtph_ps(bits);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/* Returns as code how many of the 15 thresholds are below y, by halving: 4 look-ups. */
static inline __m512i encode(__m512 y, __m512 thresholds) {
    __m512i code = _mm512_setzero_si512();
    for (int half = 8; half > 0; half /= 2) {
        __m512i index = _mm512_add_epi32(code, _mm512_set1_epi32(half - 1));
        __m512 threshold = _mm512_permutexvar_ps(index, thresholds);
        __mmask16 above = _mm512_cmp_ps_mask(y, threshold, _CMP_GT_OQ);
        code = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(half));
    }
    return code;
}

/* Returns the largest absolute value so far, as bits: without the sign, numbers are in the order of
 * their bits, and NaN is above all. */
static inline __m512i larger(__m512i largest, __m512 x) {
    __m512i bits = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
    return _mm512_max_epi32(largest, bits);
}

static inline float largest_of(__m512i largest) {
    int bits = _mm512_reduce_max_epi32(largest);
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}

/* Returns 1 / scale, for all 16; where that overflows, the largest number in fp32. */
static inline __m512 reciprocal(float scale) {
    float factor = 1 / scale;
    return _mm512_set1_ps(factor > FLT_MAX ? FLT_MAX : factor);
}

/* Quantizes n numbers in blocks of 2^block_bits: absmax of each block, and codes, two in a byte. A
 * block that has a NaN or Inf gets it for its absmax, and codes that mean nothing. */
void quantize(const void *x, int dtype, int64_t n, const float *thresholds, int block_bits,
              float *absmax, uint8_t *codes, int n_threads) {
    __m512 table = _mm512_maskz_loadu_ps(0x7fff, thresholds);
    int64_t size = 1ll << block_bits, n_blocks = (n + size - 1) >> block_bits;
#pragma omp parallel for num_threads(n_threads)
    for (int64_t block = 0; block < n_blocks; block++) {
        int64_t start = block << block_bits, left = least(size, n - start);
        __m512i largest = _mm512_setzero_si512();
        for (int64_t i = 0; i < left; i += 16)
            largest = larger(largest, load(x, dtype, start + i, left - i));
        absmax[block] = largest_of(largest);
        __m512 factor = reciprocal(absmax[block]);
        for (int64_t i = 0; i < left; i += 16) {
            __m512 y = _mm512_mul_ps(load(x, dtype, start + i, left - i), factor);
            __m512i code = encode(y, table);
            __m512i pair = _mm512_or_si512(_mm512_slli_epi64(code, 4), _mm512_srli_epi64(code, 32));
            __mmask16 bytes = lowest((left - i + 1) / 2) & 0xff;
            _mm_mask_storeu_epi8(codes + (start + i) / 2, bytes, _mm512_cvtepi64_epi8(pair));
        }
    }
}

/* Quantizes n scales, less their mean, in blocks of 2^block_bits: the scale of each block, and
 * codes of 8 bits, how many of the 255 midpoints are below. The midpoints do not fit into a
 * register, so halving takes 8 look-ups in memory. */
void quantize_scales(const float *absmax, int64_t n, const float *offset, const float *midpoints,
                     int block_bits, float *scale, uint8_t *codes, int n_threads) {
    __m512 mean = _mm512_set1_ps(*offset);
    int64_t size = 1ll << block_bits, n_blocks = (n + size - 1) >> block_bits;
#pragma omp parallel for num_threads(n_threads)
    for (int64_t block = 0; block < n_blocks; block++) {
        int64_t start = block << block_bits, left = least(size, n - start);
        __m512i largest = _mm512_setzero_si512();
        for (int64_t i = 0; i < left; i += 16) {
            __mmask16 there = (__mmask16)lowest(left - i);
            __m512 x = load(absmax, FP32, start + i, left - i);
            largest = larger(largest, _mm512_maskz_sub_ps(there, x, mean));
        }
        scale[block] = largest_of(largest);
        __m512 factor = reciprocal(scale[block]);
        for (int64_t i = 0; i < left; i += 16) {
            __m512 x = load(absmax, FP32, start + i, left - i);
            __m512 y = _mm512_mul_ps(_mm512_sub_ps(x, mean), factor);
            __m512i code = _mm512_setzero_si512();
            for (int half = 128; half > 0; half /= 2) {
                __m512i index = _mm512_add_epi32(code, _mm512_set1_epi32(half - 1));
                __m512 midpoint = _mm512_i32gather_ps(index, midpoints, sizeof(float));
                __mmask16 above = _mm512_cmp_ps_mask(y, midpoint, _CMP_GT_OQ);
                code = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(half));
            }
            __mmask16 there = (__mmask16)lowest(left - i);
            _mm_mask_storeu_epi8(codes + start + i, there, _mm512_cvtepi32_epi8(code));
        }
    }
}

/* Dequantize: level * scale once for all 16 codes of a block, rounded; then only look-ups */

static inline __m512i twice(__m256i x) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(x), x, 1);
}

/* Returns 16 numbers in fp16, twice. */
static inline __m512i to_fp16(__m512 x) {
    return twice(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Returns 16 numbers in bf16, the upper half of fp32, twice: the nearest, a tie to the even one. */
static inline __m512i to_bf16(__m512 x) {
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    up = _mm512_mask_mov_epi32(up, nan, _mm512_set1_epi32(0x7fc00000));
    return twice(_mm512_cvtepi32_epi16(_mm512_srli_epi32(up, 16)));
}

/* Writes n numbers of 4 bytes. A byte becomes two lanes of 32 bits: its upper half, and all of it,
 * of which the instruction uses only the lowest 4 bits, the lower half. */
static inline void look_up_4(float *out, const uint8_t *codes, int64_t n, __m512 table) {
    for (int64_t i = 0; i < n; i += 16) {
        __m128i bytes = _mm_maskz_loadu_epi8(lowest((n - i + 1) / 2) & 0xff, codes + i / 2);
        __m512i pair = _mm512_cvtepu8_epi64(bytes);
        __m512i index = _mm512_or_si512(_mm512_srli_epi64(pair, 4), _mm512_slli_epi64(pair, 32));
        __mmask16 there = (__mmask16)lowest(n - i);
        _mm512_mask_storeu_ps(out + i, there, _mm512_permutexvar_ps(index, table));
    }
}

/* Writes n numbers of 2 bytes, as above, in lanes of 16 bits. Here the instruction uses 5 bits; the
 * fifth is a bit of the upper half and does not matter, since the table has everything twice. */
static inline void look_up_2(uint16_t *out, const uint8_t *codes, int64_t n, __m512i table) {
    for (int64_t i = 0; i < n; i += 32) {
        __m128i bytes = _mm_maskz_loadu_epi8((__mmask16)lowest((n - i + 1) / 2), codes + i / 2);
        __m512i pair = _mm512_cvtepu8_epi32(bytes);
        __m512i index = _mm512_or_si512(_mm512_srli_epi32(pair, 4), _mm512_slli_epi32(pair, 16));
        _mm512_mask_storeu_epi16(out + i, lowest(n - i), _mm512_permutexvar_epi16(index, table));
    }
}

/* Dequantizes n numbers in blocks of 2^block_bits. Their scales are absmax or, if that is NULL,
 * map[absmax_codes] * absmax_scale + absmax_offset in blocks of 2^nested_bits. */
void dequantize(void *out, int dtype, int64_t n, const uint8_t *codes, const float *levels,
                int block_bits, const float *absmax, const uint8_t *absmax_codes, const float *map,
                const float *absmax_scale, const float *absmax_offset, int nested_bits,
                int n_threads) {
    __m512 level = _mm512_loadu_ps(levels);
    int64_t size = 1ll << block_bits, n_blocks = (n + size - 1) >> block_bits;
#pragma omp parallel for num_threads(n_threads)
    for (int64_t block = 0; block < n_blocks; block++) {
        int64_t start = block << block_bits, left = least(size, n - start);
        float scale = absmax ? absmax[block]
                             : map[absmax_codes[block]] * absmax_scale[block >> nested_bits]
                                   + *absmax_offset;
        __m512 table = _mm512_mul_ps(level, _mm512_set1_ps(scale));
        if (dtype == FP32)
            look_up_4((float *)out + start, codes + start / 2, left, table);
        else
            look_up_2((uint16_t *)out + start, codes + start / 2, left,
                      dtype == FP16 ? to_fp16(table) : to_bf16(table));
    }
}
