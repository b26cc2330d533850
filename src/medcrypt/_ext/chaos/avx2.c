/* Four lanes in a register. */
#include "chaos.h"

#include <immintrin.h>

typedef __m256i word;

#define WORDS 2
#define PARTS_ABREAST 1
#define INLINE_WORD static inline __attribute__((always_inline))

INLINE_WORD word load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE_WORD void store(uint8_t *p, word x) { _mm256_storeu_si256((__m256i *)p, x); }
INLINE_WORD word ones(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
INLINE_WORD word numbers(void) { return _mm256_set_epi64x(3, 2, 1, 0); }
INLINE_WORD word add(word a, word b) { return _mm256_add_epi64(a, b); }
INLINE_WORD word sub(word a, word b) { return _mm256_sub_epi64(a, b); }
INLINE_WORD word xor(word a, word b) { return _mm256_xor_si256(a, b); }
INLINE_WORD word xor3(word a, word b, word c) { return xor(xor(a, b), c); }
INLINE_WORD word upper(word a) { return _mm256_shuffle_epi32(a, 0xf5); }
INLINE_WORD word product(word a, word b) { return _mm256_mul_epu32(a, b); }
INLINE_WORD word left(word a) { return _mm256_or_si256(_mm256_slli_epi64(a, 29), _mm256_srli_epi64(a, 35)); }
INLINE_WORD word right(word a) { return _mm256_or_si256(_mm256_srli_epi64(a, 29), _mm256_slli_epi64(a, 35)); }

/* Each half turned by g mod 4, and its wrapped lanes exchanged with the other's; g >= 4 exchanges the halves. */
INLINE_WORD void read_line(const uint8_t *line, unsigned g, word x[WORDS]) {
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i at = _mm256_add_epi32(lanes, _mm256_set1_epi32((int)(2 * (g % 4))));
    const __m256i wrapped = _mm256_cmpgt_epi32(at, _mm256_set1_epi32(7));
    const unsigned half = g / 4 * 32;
    const __m256i low = _mm256_permutevar8x32_epi32(load(line + half), at);
    const __m256i high = _mm256_permutevar8x32_epi32(load(line + (half ^ 32)), at);
    x[0] = _mm256_blendv_epi8(low, high, wrapped);
    x[1] = _mm256_blendv_epi8(high, low, wrapped);
}

#include "lattice.h"

const struct chaos_kernels chaos_avx2 = {stream, pass, unpass, one_way};
