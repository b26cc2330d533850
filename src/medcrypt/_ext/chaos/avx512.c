/* All eight lanes in a register. */
#include "chaos.h"

#include <immintrin.h>

typedef __m512i word;

#define WORDS 1
#define PARTS_ABREAST 1
#define INLINE_WORD static inline __attribute__((always_inline))

INLINE_WORD word load(const uint8_t *p) { return _mm512_loadu_si512(p); }
INLINE_WORD void store(uint8_t *p, word x) { _mm512_storeu_si512(p, x); }
INLINE_WORD word ones(uint64_t x) { return _mm512_set1_epi64((long long)x); }
INLINE_WORD word numbers(void) { return _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0); }
INLINE_WORD word add(word a, word b) { return _mm512_add_epi64(a, b); }
INLINE_WORD word sub(word a, word b) { return _mm512_sub_epi64(a, b); }
INLINE_WORD word xor(word a, word b) { return _mm512_xor_si512(a, b); }
INLINE_WORD word xor3(word a, word b, word c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
INLINE_WORD word upper(word a) { return _mm512_shuffle_epi32(a, 0xf5); }
INLINE_WORD word product(word a, word b) { return _mm512_mul_epu32(a, b); }
INLINE_WORD word left(word a) { return _mm512_rol_epi64(a, 29); }
INLINE_WORD word right(word a) { return _mm512_ror_epi64(a, 29); }

/* Numbers 0 to 7 twice: those of lanes turned by g begin at g. */
static const uint64_t turned[2 * CHAOS_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7};

INLINE_WORD void read_line(const uint8_t *line, unsigned g, word x[WORDS]) {
    x[0] = _mm512_permutexvar_epi64(_mm512_loadu_si512(turned + g), load(line));
}

#include "lattice.h"

const struct chaos_kernels chaos_avx512 = {stream, pass, unpass, one_way};
