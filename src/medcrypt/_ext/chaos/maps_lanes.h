/* The maps for both sizes of words; the file that includes this names its table of kernels KERNELS. Plain C, which the
 * compiler makes as wide as the flags of the file allow. Shifts of negative numbers are arithmetic, as everywhere. */
#include "maps.h"

/* ---- 32 bits -------------------------------------------------------------------------------------- */

#define BITS 32
#define NAMED(x) x##_32
typedef uint32_t word_32;
typedef int32_t sword_32;
#define word word_32
#define sword sword_32

static inline word product_shifted_32(word a, word b, int n) { return (word)((uint64_t)a * b >> n); }
static inline word signed_shifted_32(word a, word b, int n) { return (word)((int64_t)(sword)a * (sword)b >> n); }

static inline word sine_of_32(word y) {
    return (word)(((uint64_t)y << 32) / ((((uint64_t)5 << 32) - y) >> 2));
}

#include "maps_words.h"

#undef BITS
#undef NAMED
#undef word
#undef sword

/* ---- 64 bits -------------------------------------------------------------------------------------- */

#define BITS 64
#define NAMED(x) x##_64
typedef uint64_t word_64;
typedef int64_t sword_64;
#define word word_64
#define sword sword_64

/* The upper half of a product, in halves of 32 bits where the compiler has nothing wider. */
static inline word upper_half(word a, word b) {
#ifdef __SIZEOF_INT128__
    return (word)((unsigned __int128)a * b >> 64);
#else
    const word a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const word middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
#endif
}

static inline word product_shifted_64(word a, word b, int n) {
    const word high = upper_half(a, b);
    return n == 64 ? high : high << (64 - n) | a * b >> n;
}

/* As unsigned numbers, negative ones are too large by 2^64: the other factor goes from the upper half. n < 64. */
static inline word signed_shifted_64(word a, word b, int n) {
    const word high = upper_half(a, b) - (b & (word)-(a >> 63)) - (a & (word)-(b >> 63));
    return high << (64 - n) | a * b >> n;
}

#ifdef __SIZEOF_INT128__
static inline word sine_of_64(word y) {
    typedef unsigned __int128 wide;
    return (word)(((wide)y << 64) / ((((wide)5 << 64) - y) >> 2));
}
#else
/* y 2^64 / d with d = floor((5 2^64 - y) / 4) of 65 bits: one bit of the quotient at a time, whose first is 0 as y < d. */
static inline word sine_of_64(word y) {
    const word low = y == 0 ? (word)1 << 62 : ((word)0 - y) >> 2; /* d = 2^64 + low */
    word rest = y, carried = 0, quotient = 0;                     /* `carried` is bit 64 of the rest */
    for (int i = 0; i < 64; i++) {
        const word above = carried << 1 | rest >> 63, doubled = rest << 1;
        const word takes = (word)(above > 1 || (above == 1 && doubled >= low));
        rest = doubled - (low & (word)-takes);
        carried = above - takes - (word)(takes && doubled < low);
        quotient = quotient << 1 | takes;
    }
    return quotient;
}
#endif

#include "maps_words.h"

#undef BITS
#undef NAMED
#undef word
#undef sword

#define ALL(size)                                                                                                  \
    {advance_logistic_##size, advance_tent_##size,   advance_piecewise_##size, advance_sine_##size,                \
     advance_henon_##size,    advance_cat_##size,    advance_cat3_##size,      advance_baker_##size,               \
     advance_lorenz_##size,   advance_chen_##size,   advance_coupling_##size,  advance_lattice_##size}

const struct maps_kernels KERNELS = {ALL(32), ALL(64)};
