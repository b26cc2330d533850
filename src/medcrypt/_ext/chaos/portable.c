/* One lane at a time, in integers of 64 bits. */
#include "chaos.h"

typedef uint64_t word;

#define WORDS 8
#define INLINE_WORD static inline

INLINE_WORD word load(const uint8_t *p) {
    return (word)p[0] | (word)p[1] << 8 | (word)p[2] << 16 | (word)p[3] << 24 | (word)p[4] << 32 |
           (word)p[5] << 40 | (word)p[6] << 48 | (word)p[7] << 56;
}

INLINE_WORD void store(uint8_t *p, word x) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(x >> (8 * i));
}

INLINE_WORD word ones(uint64_t x) { return x; }
INLINE_WORD word numbers(int h) { return (word)h; }
INLINE_WORD word add(word a, word b) { return a + b; }
INLINE_WORD word sub(word a, word b) { return a - b; }
INLINE_WORD word xor(word a, word b) { return a ^ b; }
INLINE_WORD word upper(word a) { return a >> 32; }
INLINE_WORD word product(word a, word b) { return (word)(uint32_t)a * (uint32_t)b; }
INLINE_WORD word left(word a) { return a << 29 | a >> 35; }
INLINE_WORD word right(word a) { return a >> 29 | a << 35; }

INLINE_WORD void read_line(const uint8_t *line, unsigned g, word x[WORDS]) {
    for (unsigned l = 0; l < WORDS; l++) x[l] = load(line + 8 * ((l + g) % 8));
}

#include "lattice.h"

const struct chaos_kernels chaos_portable = {stream, pass, unpass, one_way};
