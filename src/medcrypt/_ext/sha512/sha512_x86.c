/*
 * The compression of SHA-512 with the schedule in vectors, two words at a time:
 *
 *   W(t) = sigma1(W(t-2)) + W(t-7) + sigma0(W(t-15)) + W(t-16)
 *
 * W(t) and W(t+1) need nothing younger than W(t-1), so a register holds such a pair and the window of sixteen
 * words is eight registers. The rounds stay scalar, with BMI2's rotations that copy. Vectors and scalars go
 * through different ports: a pair of the schedule costs next to nothing beside the two rounds it is woven into.
 *
 * meson.build compiles this file twice: AVX2 makes rotations from two shifts, AVX-512 has them.
 */
#include "sha512.h"

#include <immintrin.h>

enum { PAIRS = 8, PASSES = 5 }; /* a pass is sixteen rounds */

#ifdef __AVX512VL__
#define COMPRESS sha512_compress_avx512
#define ROTATE(x, by) _mm_ror_epi64(x, by)
#define XOR3(x, y, z) _mm_ternarylogic_epi64(x, y, z, 0x96)
#else
#define COMPRESS sha512_compress_avx2
#define ROTATE(x, by) _mm_or_si128(_mm_srli_epi64(x, by), _mm_slli_epi64(x, 64 - (by)))
#define XOR3(x, y, z) _mm_xor_si128(_mm_xor_si128(x, y), z)
#endif

/* Section 4.1.2 of FIPS 180-4, on both words of a pair. */
#define SIGMA0(x) XOR3(ROTATE(x, 1), ROTATE(x, 8), _mm_srli_epi64(x, 7))
#define SIGMA1(x) XOR3(ROTATE(x, 19), ROTATE(x, 61), _mm_srli_epi64(x, 6))

/* The window is a key's own block, or can be wound back to it: nothing of it may stay in the registers. */
static inline void clear_registers(void) {
    _mm256_zeroall();
#ifdef __AVX512VL__ /* the other sixteen */
    __asm__ volatile(
        "vpxord %%zmm16, %%zmm16, %%zmm16\n\tvpxord %%zmm17, %%zmm17, %%zmm17\n\t"
        "vpxord %%zmm18, %%zmm18, %%zmm18\n\tvpxord %%zmm19, %%zmm19, %%zmm19\n\t"
        "vpxord %%zmm20, %%zmm20, %%zmm20\n\tvpxord %%zmm21, %%zmm21, %%zmm21\n\t"
        "vpxord %%zmm22, %%zmm22, %%zmm22\n\tvpxord %%zmm23, %%zmm23, %%zmm23\n\t"
        "vpxord %%zmm24, %%zmm24, %%zmm24\n\tvpxord %%zmm25, %%zmm25, %%zmm25\n\t"
        "vpxord %%zmm26, %%zmm26, %%zmm26\n\tvpxord %%zmm27, %%zmm27, %%zmm27\n\t"
        "vpxord %%zmm28, %%zmm28, %%zmm28\n\tvpxord %%zmm29, %%zmm29, %%zmm29\n\t"
        "vpxord %%zmm30, %%zmm30, %%zmm30\n\tvpxord %%zmm31, %%zmm31, %%zmm31"
        :
        :
        : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
          "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
#endif
}

static inline uint64_t rotate(uint64_t word, int by) { return word >> by | word << (64 - by); }

/* Two big-endian words. */
static inline __m128i load_pair(const uint8_t *bytes) {
    const __m128i reversal = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)bytes), reversal);
}

/* The second word of `one` and the first of `two`. */
static inline __m128i between(__m128i one, __m128i two) { return _mm_alignr_epi8(two, one, 8); }

/* Pair i of the window moves on by sixteen words. */
static inline __m128i next_pair(const __m128i w[PAIRS], int i) {
    __m128i sum = _mm_add_epi64(w[i], between(w[(i + 4) % PAIRS], w[(i + 5) % PAIRS]));
    sum = _mm_add_epi64(sum, SIGMA0(between(w[i], w[(i + 1) % PAIRS])));
    return _mm_add_epi64(sum, SIGMA1(w[(i + 7) % PAIRS]));
}

static inline __m128i with_constants(__m128i pair, const uint64_t *k) {
    return _mm_add_epi64(pair, _mm_loadu_si128((const __m128i *)k));
}

/* One round, K and the word added up in `word`; the words trade names instead of places. The majority of a, b, c
 * is b where a and b agree, else c; b xor c is the a xor b of the round before. */
#define ROUND(a, b, c, d, e, f, g, h, word)                                                 \
    do {                                                                                    \
        h += (word) + (rotate(e, 14) ^ rotate(e, 18) ^ rotate(e, 41));                      \
        h += (e & f) + (~e & g);                                                            \
        d += h;                                                                             \
        differ_now = a ^ b;                                                                 \
        h += (rotate(a, 28) ^ rotate(a, 34) ^ rotate(a, 39)) + ((differ_now & differ) ^ b); \
        differ = differ_now;                                                                \
    } while (0)

/* Two rounds, and pair i of the next pass unless this one is the last. */
#define TWO_ROUNDS(a, b, c, d, e, f, g, h, i)                                                \
    do {                                                                                     \
        uint64_t first = sums[2 * (i)], second = sums[2 * (i) + 1];                          \
        ROUND(a, b, c, d, e, f, g, h, first);                                                \
        if (pass < PASSES - 1) {                                                             \
            w[i] = next_pair(w, i);                                                          \
            _mm_store_si128((__m128i *)(sums + 2 * (i)), with_constants(w[i], k + 2 * (i))); \
        }                                                                                    \
        ROUND(h, a, b, c, d, e, f, g, second);                                               \
    } while (0)

#define SIXTEEN_ROUNDS()                       \
    do {                                       \
        TWO_ROUNDS(a, b, c, d, e, f, g, h, 0); \
        TWO_ROUNDS(g, h, a, b, c, d, e, f, 1); \
        TWO_ROUNDS(e, f, g, h, a, b, c, d, 2); \
        TWO_ROUNDS(c, d, e, f, g, h, a, b, 3); \
        TWO_ROUNDS(a, b, c, d, e, f, g, h, 4); \
        TWO_ROUNDS(g, h, a, b, c, d, e, f, 5); \
        TWO_ROUNDS(e, f, g, h, a, b, c, d, 6); \
        TWO_ROUNDS(c, d, e, f, g, h, a, b, 7); \
    } while (0)

void COMPRESS(uint64_t state[SHA512_WORDS], const uint8_t *blocks, size_t count) {
    _Alignas(16) uint64_t sums[2 * PAIRS]; /* K + W of the sixteen rounds to come */
    __m128i w[PAIRS];
    for (; count > 0; count--, blocks += SHA512_BLOCK) {
        uint64_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint64_t e = state[4], f = state[5], g = state[6], h = state[7];
        uint64_t differ = b ^ c, differ_now;
        for (int i = 0; i < PAIRS; i++) {
            w[i] = load_pair(blocks + 16 * i);
            _mm_store_si128((__m128i *)(sums + 2 * i), with_constants(w[i], sha512_constants + 2 * i));
        }
        const uint64_t *k = sha512_constants + 2 * PAIRS;
        int pass = 0;
        for (; pass < PASSES - 1; pass++, k += 2 * PAIRS) SIXTEEN_ROUNDS();
        SIXTEEN_ROUNDS();
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
    clear_registers();
}
