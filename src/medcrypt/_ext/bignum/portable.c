/*
 * The portable kernel: one value at a time, 64-bit digits, products column by column (product scanning).
 *
 * Column c of a sum of products is the sum of x_i y_(c-i). Its digits are summed up in 192 bits, and the
 * lowest 64 of them are the result's digit; what is left is carried into the next column. In columns 0 to
 * k - 1 Montgomery's quotient digit q_c = -(column) n^-1 mod B makes the lowest word vanish.
 *
 * The bound of a sum: at most 3 k + 1 <= 388 products below 2^128, and a carry below 2^129: far below 2^192.
 */
#include "bignum.h"

#include <string.h>

#ifndef __SIZEOF_INT128__
#error "the portable bignum kernel needs a compiler with 128-bit integers, such as gcc or clang on a 64-bit machine"
#endif

#define INLINE static inline __attribute__((always_inline))

enum { SHARED = 1 << BN_WORD_COMB_WINDOW, AT_ONCE = 8 };

typedef unsigned __int128 wide;

typedef struct {
    uint64_t low, middle, high;
} sum;

/* s + x y. Compilers make five instructions of the last carry, so where it matters it is spelled out. */
INLINE sum plus_product(sum s, uint64_t x, uint64_t y) {
    wide product = (wide)x * y;
#if defined(__x86_64__) && defined(__GNUC__)
    __asm__("addq %3, %0\n\tadcq %4, %1\n\tadcq $0, %2"
            : "+&r"(s.low), "+&r"(s.middle), "+&r"(s.high)
            : "r"((uint64_t)product), "r"((uint64_t)(product >> 64))
            : "cc");
#else
    wide low = (wide)s.low + (uint64_t)product;
    wide middle = (wide)s.middle + (uint64_t)(product >> 64) + (uint64_t)(low >> 64);
    s.low = (uint64_t)low;
    s.middle = (uint64_t)middle;
    s.high += (uint64_t)(middle >> 64);
#endif
    return s;
}

INLINE sum plus_word(sum s, uint64_t x) {
    wide low = (wide)s.low + x;
    wide middle = (wide)s.middle + (uint64_t)(low >> 64);
    s.low = (uint64_t)low;
    s.middle = (uint64_t)middle;
    s.high += (uint64_t)(middle >> 64);
    return s;
}

INLINE sum plus(sum s, sum t) {
    wide low = (wide)s.low + t.low;
    wide middle = (wide)s.middle + t.middle + (uint64_t)(low >> 64);
    s.low = (uint64_t)low;
    s.middle = (uint64_t)middle;
    s.high += t.high + (uint64_t)(middle >> 64);
    return s;
}

INLINE sum carry(sum s) {
    sum t = {s.middle, s.high, 0};
    return t;
}

/* s + x_0 y_0 + x_1 y_-1 + ...: `y` points at the digit that meets x_0. */
INLINE sum dot(sum s, const uint64_t *x, const uint64_t *y, size_t count) {
#pragma GCC unroll 4
    for (size_t i = 0; i < count; i++) s = plus_product(s, x[i], *(y - i));
    return s;
}

/* Two and three such sums in one loop: a column's loop ends in one mispredicted branch. */
INLINE sum dot2(sum s, const uint64_t *x, const uint64_t *y, const uint64_t *u, const uint64_t *v, size_t count) {
#pragma GCC unroll 4
    for (size_t i = 0; i < count; i++) {
        s = plus_product(s, x[i], *(y - i));
        s = plus_product(s, u[i], *(v - i));
    }
    return s;
}

INLINE sum dot3(sum s, const uint64_t *x, const uint64_t *y, const uint64_t *u, const uint64_t *v, const uint64_t *f,
                const uint64_t *g, size_t count) {
#pragma GCC unroll 2
    for (size_t i = 0; i < count; i++) {
        s = plus_product(s, x[i], *(y - i));
        s = plus_product(s, u[i], *(v - i));
        s = plus_product(s, f[i], *(g - i));
    }
    return s;
}

/* Column c of x^2, or of what of it k digits hold: pairs of different digits count twice. */
INLINE sum plus_square_column(sum s, const uint64_t *x, size_t k, size_t c) {
    size_t from = c < k ? 0 : c - k + 1;
    size_t pairs = (c - 2 * from + 1) / 2;
    sum t = {0, 0, 0};
    t = dot(t, x + from, x + c - from, pairs);
    t = plus(t, t);
    if (c % 2 == 0) t = plus_product(t, x[c / 2], x[c / 2]);
    return plus(s, t);
}

/* z = x y / R mod n, loosely; the quotient goes to q. z may be x or y: digits go to `result` first. */
static void product(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *q,
                    uint64_t *result) {
    const uint64_t *n = ring->n, inverse = ring->inverse[0];
    size_t k = ring->digits;
    sum s = {0, 0, 0};
    for (size_t c = 0; c < k; c++) {
        s = plus_product(dot2(s, x, y + c, q, n + c, c), x[c], y[0]);
        q[c] = s.low * inverse;
        s = carry(plus_product(s, q[c], n[0]));
    }
    for (size_t c = 1; c < k; c++) {
        s = dot2(s, x + c, y + k - 1, q + c, n + k - 1, k - c);
        result[c - 1] = s.low;
        s = carry(s);
    }
    result[k - 1] = s.low; /* the sum is below 2 n < R: nothing is left */
    memcpy(z, result, k * sizeof *z);
}

/* The same for x = y. */
static void square(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *q, uint64_t *result) {
    const uint64_t *n = ring->n, inverse = ring->inverse[0];
    size_t k = ring->digits;
    sum s = {0, 0, 0};
    for (size_t c = 0; c < k; c++) {
        s = plus_square_column(dot(s, q, n + c, c), x, k, c);
        q[c] = s.low * inverse;
        s = carry(plus_product(s, q[c], n[0]));
    }
    for (size_t c = k; c < 2 * k - 1; c++) {
        s = plus_square_column(dot(s, q + (c - k + 1), n + k - 1, 2 * k - 1 - c), x, k, c);
        result[c - k] = s.low;
        s = carry(s);
    }
    result[k - 1] = s.low;
    memcpy(z, result, k * sizeof *z);
}

/* The second half of a product of pairs: z = (x v + u y - q) / R mod n, loosely; q2 is another quotient. */
static void cross_product(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *v, const uint64_t *u,
                          const uint64_t *y, const uint64_t *q, uint64_t *q2) {
    const uint64_t *n = ring->n, inverse = ring->inverse[0];
    size_t k = ring->digits;
    uint64_t borrow = 1; /* the 1 that R adds to the result */
    sum s = {1, 0, 0};   /* R - q, from here and the complements below */
    for (size_t c = 0; c < k; c++) {
        s = dot3(plus_word(s, ~q[c]), x, v + c, u, y + c, q2, n + c, c);
        s = plus_product(plus_product(s, x[c], v[0]), u[c], y[0]);
        q2[c] = s.low * inverse;
        s = carry(plus_product(s, q2[c], n[0]));
    }
    for (size_t c = 1; c < k; c++) {
        s = dot3(s, x + c, v + k - 1, u + c, y + k - 1, q2 + c, n + k - 1, k - c);
        z[c - 1] = s.low - borrow;
        borrow = s.low < borrow;
        s = carry(s);
    }
    z[k - 1] = s.low - borrow;
}

/* The same for x = y, u = v: (2 x u - q) / R, where `twice` is 2 x. */
static void twice_product(const bn_ring *ring, uint64_t *z, const uint64_t *twice, const uint64_t *u, const uint64_t *q,
                          uint64_t *q2) {
    const uint64_t *n = ring->n, inverse = ring->inverse[0];
    size_t k = ring->digits;
    uint64_t borrow = 1;
    sum s = {1, 0, 0};
    for (size_t c = 0; c < k; c++) {
        s = dot2(plus_word(s, ~q[c]), twice, u + c, q2, n + c, c);
        s = plus_product(s, twice[c], u[0]);
        q2[c] = s.low * inverse;
        s = carry(plus_product(s, q2[c], n[0]));
    }
    for (size_t c = 1; c < k; c++) {
        s = dot2(s, twice + c, u + k - 1, q2 + c, n + k - 1, k - c);
        z[c - 1] = s.low - borrow;
        borrow = s.low < borrow;
        s = carry(s);
    }
    z[k - 1] = s.low - borrow;
}

static void multiply_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *q2 = q + k, *low = q2 + k, *high = low + k;
    product(ring, low, x, y, q, low);
    cross_product(ring, high, x, y + k, x + k, y, q, q2);
    memcpy(z, low, 2 * k * sizeof *z);
}

static void square_pair(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *q2 = q + k, *low = q2 + k, *high = low + k, *twice = high + k;
    uint64_t top = 0;
    for (size_t i = 0; i < k; i++) { /* 2 a < 8 n < R */
        twice[i] = x[i] << 1 | top;
        top = x[i] >> 63;
    }
    square(ring, low, x, q, low);
    twice_product(ring, high, twice, x + k, q, q2);
    memcpy(z, low, 2 * k * sizeof *z);
}

static void multiply_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    product(ring, z, x, y, scratch, scratch + ring->digits);
}

static void square_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    square(ring, z, x, scratch, scratch + ring->digits);
}

/* All ones where x = y, else zeros. */
INLINE uint64_t equal_mask(uint64_t x, uint64_t y) {
    uint64_t difference = x ^ y;
    return bn_opaque(((difference | (0 - difference)) >> 63) - 1);
}

/* Eight entries in one pass: a word of the result is loaded and stored an eighth as often. */
void bn_pick_words(uint64_t *restrict z, const uint64_t *restrict table, const uint64_t *index, size_t vectors,
                   size_t entries) {
    memset(z, 0, vectors * sizeof *z);
    for (size_t e = 0; e < entries; e += AT_ONCE, table += AT_ONCE * vectors) {
        uint64_t masks[AT_ONCE];
        for (size_t j = 0; j < AT_ONCE; j++) masks[j] = equal_mask(e + j, index[0]);
        for (size_t i = 0; i < vectors; i++) {
            uint64_t word = z[i];
#pragma GCC unroll 8
            for (size_t j = 0; j < AT_ONCE; j++) word |= table[j * vectors + i] & masks[j];
            z[i] = word;
        }
    }
}

void bn_pick_shared_words(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t groups) {
    uint64_t masks[SHARED];
    for (size_t g = 0; g < groups; g++) {
        for (size_t e = 0; e < SHARED; e++) masks[e] = equal_mask(e, index[g]);
        for (size_t i = 0; i < vectors; i++) {
            uint64_t word = 0;
            for (size_t e = 0; e < SHARED; e++) word |= table[i * SHARED + e] & masks[e];
            z[g * vectors + i] = word;
        }
    }
    bn_wipe(masks, sizeof masks);
}

const bn_kernels bn_portable = {
    .lanes = 1,
    .digit_bits = 64,
    .block = 1,
    .comb_window = BN_WORD_COMB_WINDOW,
    .multiply = multiply_pairs,
    .square = square_pair,
    .multiply_single = multiply_single,
    .square_single = square_single,
    .pick = bn_pick_words,
    .pick_shared = bn_pick_shared_words,
};
