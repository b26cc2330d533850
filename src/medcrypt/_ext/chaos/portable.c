/* What needs no more than the C language; on x86-64, whose every processor has SSE2, two lanes at a time with that. */
#include "chaos.h"

#define INLINE_WORD static inline

#ifdef __SSE2__

#include <emmintrin.h>

typedef __m128i word;

#define WORDS 4
#define PARTS_ABREAST 2

INLINE_WORD word load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE_WORD void store(uint8_t *p, word x) { _mm_storeu_si128((__m128i *)p, x); }
INLINE_WORD word ones(uint64_t x) { return _mm_set1_epi64x((long long)x); }
INLINE_WORD word numbers(void) { return _mm_set_epi64x(1, 0); }
INLINE_WORD word add(word a, word b) { return _mm_add_epi64(a, b); }
INLINE_WORD word sub(word a, word b) { return _mm_sub_epi64(a, b); }
INLINE_WORD word xor(word a, word b) { return _mm_xor_si128(a, b); }
INLINE_WORD word xor3(word a, word b, word c) { return xor(xor(a, b), c); }
INLINE_WORD word upper(word a) { return _mm_shuffle_epi32(a, 0xf5); }
INLINE_WORD word product(word a, word b) { return _mm_mul_epu32(a, b); }
INLINE_WORD word left(word a) { return _mm_or_si128(_mm_slli_epi64(a, 29), _mm_srli_epi64(a, 35)); }
INLINE_WORD word right(word a) { return _mm_or_si128(_mm_srli_epi64(a, 29), _mm_slli_epi64(a, 35)); }

INLINE_WORD void read_line(const uint8_t *line, unsigned g, word x[WORDS]) {
    for (unsigned h = 0; h < WORDS; h++)
        x[h] = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(line + 8 * ((2 * h + g) % 8))),
                                  _mm_loadl_epi64((const __m128i *)(line + 8 * ((2 * h + 1 + g) % 8))));
}

#else

typedef uint64_t word;

#define WORDS 8
#define PARTS_ABREAST 1

INLINE_WORD word load(const uint8_t *p) {
    return (word)p[0] | (word)p[1] << 8 | (word)p[2] << 16 | (word)p[3] << 24 | (word)p[4] << 32 |
           (word)p[5] << 40 | (word)p[6] << 48 | (word)p[7] << 56;
}

INLINE_WORD void store(uint8_t *p, word x) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(x >> (8 * i));
}

INLINE_WORD word ones(uint64_t x) { return x; }
INLINE_WORD word numbers(void) { return 0; }
INLINE_WORD word add(word a, word b) { return a + b; }
INLINE_WORD word sub(word a, word b) { return a - b; }
INLINE_WORD word xor(word a, word b) { return a ^ b; }
INLINE_WORD word xor3(word a, word b, word c) { return xor(xor(a, b), c); }
INLINE_WORD word upper(word a) { return a >> 32; }
INLINE_WORD word product(word a, word b) { return (word)(uint32_t)a * (uint32_t)b; }
INLINE_WORD word left(word a) { return a << 29 | a >> 35; }
INLINE_WORD word right(word a) { return a >> 29 | a << 35; }

INLINE_WORD void read_line(const uint8_t *line, unsigned g, word x[WORDS]) {
    for (unsigned l = 0; l < WORDS; l++) x[l] = load(line + 8 * ((l + g) % 8));
}

#endif

#include "lattice.h"

const struct chaos_kernels chaos_portable = {stream, pass, unpass, one_way};
