/*
 * The AVX2 kernel for processors without IFMA: four values at a time, one in each 64-bit lane, digits of 52 bits,
 * multiplied by the fused multiply-add of floating point.
 *
 * For digits x, y < 2^52, held exactly in doubles, and rounding towards zero,
 *
 *   h = fma(x, y, 2^104)               = 2^104 + 2^52 floor(x y / 2^52)
 *   l = fma(x, y, 2^104 + 2^52 - h)    = 2^52 + (x y mod 2^52)
 *
 * without any error: the first sum has its last bit at 2^52, the others fit 53 bits. So the fraction bits of h and l
 * are the two halves of the product. They are added to 64-bit columns together with the bits of the exponents, a
 * constant each; how many of these a column gets is known, and it starts from their negative (modulo 2^64). What a
 * column holds once it is complete is what it holds in ifma.c, with the same bounds. (Emmart, Zheng and Weems, Faster
 * modular exponentiation using double precision floating point arithmetic on the GPU, ARITH 2018.)
 *
 * No operand or result is subnormal or infinite, so the instructions take the same time for all digits.
 */
#include "bignum.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 4, BLOCK = 5, ENTRIES = 1 << BN_WORD_COMB_WINDOW, AT_ONCE = 4 };

typedef __m256i vector;
typedef __m256d reals; /* integers below 2^52 */

INLINE vector load(const uint64_t *x, size_t i) { return _mm256_loadu_si256((const vector *)(x + i * LANES)); }
INLINE void store(uint64_t *x, size_t i, vector v) { _mm256_storeu_si256((vector *)(x + i * LANES), v); }
INLINE reals load_reals(const uint64_t *x, size_t i) { return _mm256_loadu_pd((const double *)(x + i * LANES)); }
INLINE void store_reals(uint64_t *x, size_t i, reals v) { _mm256_storeu_pd((double *)(x + i * LANES), v); }
INLINE vector add(vector x, vector y) { return _mm256_add_epi64(x, y); }
INLINE vector all(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
INLINE vector digit_mask(void) { return all((UINT64_C(1) << 52) - 1); }

static const uint64_t LOW_BITS = UINT64_C(0x433) << 52;  /* the exponent bits of 2^52 ... */
static const uint64_t HIGH_BITS = UINT64_C(0x467) << 52; /* ... and of 2^104 */

INLINE vector high(reals x, reals y) {
    return _mm256_castpd_si256(_mm256_fmadd_pd(x, y, _mm256_set1_pd(0x1p104)));
}

INLINE reals low_real(reals x, reals y, vector high) {
    reals rest = _mm256_sub_pd(_mm256_set1_pd(0x1p104 + 0x1p52), _mm256_castsi256_pd(high));
    return _mm256_fmadd_pd(x, y, rest);
}

/* Both halves of x y, added to two columns. */
INLINE void product(vector *lower, vector *upper, reals x, reals y) {
    vector h = high(x, y);
    *lower = add(*lower, _mm256_castpd_si256(low_real(x, y, h)));
    *upper = add(*upper, h);
}

INLINE reals real_of(vector digit) {
    reals above = _mm256_castsi256_pd(_mm256_or_si256(digit, all(LOW_BITS)));
    return _mm256_sub_pd(above, _mm256_set1_pd(0x1p52));
}

static void to_reals(uint64_t *reals_out, const uint64_t *digits, size_t count) {
    for (size_t i = 0; i < count; i++) store_reals(reals_out, i, real_of(load(digits, i)));
}

/* ---- what a column starts from -------------------------------------------------------------------------- */

/* How many pairs (i, j) of k digits each have i + j = c. */
INLINE uint64_t pairs_in(size_t k, size_t c) { return c < k ? c + 1 : c < 2 * k ? 2 * k - 1 - c : 0; }

/* How many low halves of q n column c gets: the one of q_c n_0 is never computed. */
INLINE uint64_t low_quotients(size_t k, size_t c) { return pairs_in(k, c) - (c < k); }

INLINE uint64_t less(uint64_t lows, uint64_t highs) { return 0 - (lows * LOW_BITS + highs * HIGH_BITS); }

/* For `products` products of k digits by k, and q n: from column to column there is one more of each, or one less. */
static void start(uint64_t *columns, size_t k, uint64_t products) {
    uint64_t all_products = products + 1;
    vector step = all(less(all_products, all_products)), value = all(less(products, 0));
    for (size_t c = 0; c < k; c++, value = add(value, step)) store(columns, c, value);
    value = all(less(all_products * (k - 1), all_products * k));
    for (size_t c = k; c < 2 * k; c++, value = _mm256_sub_epi64(value, step)) store(columns, c, value);
    memset(columns + 2 * k * LANES, 0, 2 * LANES * sizeof *columns);
}

/* How many i < j have i + j = c. */
INLINE uint64_t unequal_pairs(size_t k, size_t c) { return pairs_in(k, c) / 2; }

/* ---- blocks of rows ------------------------------------------------------------------------------------ */

/* columns += (x_0 ... x_4) (y_0 ... y_(count-1)). Reads, but does not change, one column more. */
INLINE void rows(uint64_t *columns, const uint64_t *x, const uint64_t *y, size_t count) {
    vector c[BLOCK + 1];
    UNROLL for (int i = 0; i <= BLOCK; i++) c[i] = load(columns, i);
    for (size_t j = 0; j < count; j++) {
        reals b = load_reals(y, j);
        UNROLL for (int i = 0; i < BLOCK; i++) product(&c[i], &c[i + 1], load_reals(x, i), b);
        store(columns, j, c[0]);
        UNROLL for (int i = 0; i < BLOCK; i++) c[i] = c[i + 1];
        c[BLOCK] = load(columns, j + BLOCK + 1);
    }
    UNROLL for (int i = 0; i < BLOCK; i++) store(columns, count + i, c[i]);
}

/* Five quotient digits, as integers and as reals, from the lowest five columns; these vanish, and their carry goes
 * into the sixth: see `quotient` in ifma.c. */
INLINE void quotient(uint64_t *columns, uint64_t *q, uint64_t *q_reals, const uint64_t *n, reals inverse) {
    vector t[BLOCK + 1], carry = _mm256_setzero_si256();
    UNROLL for (int i = 0; i <= BLOCK; i++) t[i] = load(columns, i);
    UNROLL for (int i = 0; i < BLOCK; i++) {
        vector sum = add(t[i], carry);
        reals digit = real_of(_mm256_and_si256(sum, digit_mask()));
        reals lower = low_real(digit, inverse, high(digit, inverse));
        carry = _mm256_srli_epi64(add(sum, digit_mask()), 52);
        digit = _mm256_sub_pd(lower, _mm256_set1_pd(0x1p52));
        store(q, i, _mm256_and_si256(_mm256_castpd_si256(lower), digit_mask()));
        store_reals(q_reals, i, digit);
        t[i + 1] = add(t[i + 1], high(digit, load_reals(n, 0)));
        UNROLL for (int m = 1; m < BLOCK - i; m++) product(&t[i + m], &t[i + m + 1], digit, load_reals(n, m));
    }
    store(columns, BLOCK, add(t[BLOCK], carry));
}

/* columns[5...] += q n, where the five lowest columns are those that `quotient` dealt with. */
INLINE void reduce_block(uint64_t *columns, const uint64_t *q_reals, const uint64_t *n, size_t k) {
    vector u[BLOCK];
    UNROLL for (int i = 0; i < BLOCK; i++) u[i] = load(columns, BLOCK + i);
    UNROLL for (int i = 1; i < BLOCK; i++) {
        reals digit = load_reals(q_reals, i);
        UNROLL for (int m = BLOCK - i; m < BLOCK; m++)
            product(&u[i + m - BLOCK], &u[i + m - BLOCK + 1], digit, load_reals(n, m));
    }
    UNROLL for (int i = 0; i < BLOCK; i++) store(columns, BLOCK + i, u[i]);
    rows(columns + BLOCK * LANES, q_reals, n + BLOCK * LANES, k - BLOCK);
}

/* z = the k columns as digits, less `subtrahend`; the value is known to fit. */
INLINE void normalise(uint64_t *z, const uint64_t *columns, size_t k, uint64_t subtrahend) {
    vector carry = all(0 - subtrahend), shift = all(UINT64_C(1) << 62);
    for (size_t i = 0; i < k; i++) {
        vector sum = add(load(columns, i), carry);
        store(z, i, _mm256_and_si256(sum, digit_mask()));
        /* An arithmetic shift: the sum is -1 while nothing but the subtrahend came by. */
        carry = _mm256_sub_epi64(_mm256_srli_epi64(add(sum, shift), 52), all(1 << 10));
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* Where the parts of a ring's scratch memory lie. The last four are reals. */
typedef struct {
    uint64_t *first, *second; /* columns of a' and b': 2 k + 2 each, the last two never written */
    uint64_t *q;
    uint64_t *q_reals, *n, *x, *y; /* k, k, 2 k and 2 k */
} parts;

INLINE parts parts_of(const bn_ring *ring, uint64_t *scratch) {
    size_t k = ring->digits * LANES, columns = 2 * k + 2 * LANES;
    parts p = {.first = scratch, .second = scratch + columns, .q = scratch + 2 * columns};
    p.q_reals = p.q + k, p.n = p.q_reals + k, p.x = p.n + k, p.y = p.x + 2 * k;
    return p;
}

INLINE reals inverse_of(const bn_ring *ring) { return real_of(load(ring->inverse, 0)); }

/* first = x y / R as columns k to 2 k - 1, and its quotient. */
INLINE void first_half(const bn_ring *ring, parts p) {
    size_t k = ring->digits;
    reals inverse = inverse_of(ring);
    start(p.first, k, 1);
    for (size_t i = 0; i < k * LANES; i += BLOCK * LANES) {
        rows(p.first + i, p.x + i, p.y, BLOCK);
        quotient(p.first + i, p.q + i, p.q_reals, p.n, inverse); /* a long chain: the next rows fill its gaps */
        rows(p.first + i + BLOCK * LANES, p.x + i, p.y + BLOCK * LANES, k - BLOCK);
        reduce_block(p.first + i, p.q_reals, p.n, k);
    }
}

/* second += R - 1 - q + 1. */
INLINE void complement(uint64_t *columns, const uint64_t *q, size_t k) {
    for (size_t i = 0; i < k; i++)
        store(columns, i, add(load(columns, i), _mm256_xor_si256(load(q, i), digit_mask())));
    store(columns, 0, add(load(columns, 0), all(1)));
}

static __attribute__((noinline)) void pair_product(const bn_ring *ring, uint64_t *z, const uint64_t *x,
                                                   const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits, half = k * LANES;
    parts p = parts_of(ring, scratch);
    reals inverse = inverse_of(ring);
    to_reals(p.n, ring->n, k);
    to_reals(p.x, x, 2 * k);
    to_reals(p.y, y, 2 * k);
    first_half(ring, p);
    start(p.second, k, 2);
    complement(p.second, p.q, k);
    for (size_t i = 0; i < half; i += BLOCK * LANES) {
        rows(p.second + i, p.x + i, p.y + half, k);
        rows(p.second + i, p.x + half + i, p.y, BLOCK);
        quotient(p.second + i, p.q, p.q_reals, p.n, inverse);
        rows(p.second + i + BLOCK * LANES, p.x + half + i, p.y + BLOCK * LANES, k - BLOCK);
        reduce_block(p.second + i, p.q_reals, p.n, k);
    }
    normalise(z, p.first + half, k, 0);
    normalise(z + half, p.second + half, k, 1);
}

static __attribute__((noinline)) void single_product(const bn_ring *ring, uint64_t *z, const uint64_t *x,
                                                     const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits;
    parts p = parts_of(ring, scratch);
    to_reals(p.n, ring->n, k);
    to_reals(p.x, x, k);
    to_reals(p.y, y, k);
    first_half(ring, p);
    normalise(z, p.first + k * LANES, k, 0);
}

/* columns += the products x_i x_j, i < j, of five digits. */
INLINE void triangle(uint64_t *columns, const uint64_t *x) {
    vector c[2 * BLOCK];
    UNROLL for (int i = 0; i < 2 * BLOCK; i++) c[i] = load(columns, i);
    UNROLL for (int i = 0; i < BLOCK - 1; i++)
        UNROLL for (int j = i + 1; j < BLOCK; j++)
            product(&c[i + j], &c[i + j + 1], load_reals(x, i), load_reals(x, j));
    UNROLL for (int i = 0; i < 2 * BLOCK; i++) store(columns, i, c[i]);
}

/* first = x^2 as 2 k columns, less what the exponents of q n will add. */
INLINE void square_columns(const bn_ring *ring, parts p) {
    size_t k = ring->digits;
    for (size_t c = 0; c < 2 * k; c++)
        store(p.first, c, all(less(unequal_pairs(k, c), c > 0 ? unequal_pairs(k, c - 1) : 0)));
    memset(p.first + 2 * k * LANES, 0, 2 * LANES * sizeof *p.first);
    for (size_t i = 0; i < k; i += BLOCK) {
        triangle(p.first + 2 * i * LANES, p.x + i * LANES);
        rows(p.first + (2 * i + BLOCK) * LANES, p.x + i * LANES, p.x + (i + BLOCK) * LANES, k - i - BLOCK);
    }
    for (size_t i = 0; i < k; i++) {
        reals a = load_reals(p.x, i);
        size_t c = 2 * i;
        uint64_t before = c > 0 ? pairs_in(k, c - 1) : 0;
        vector even = load(p.first, c), odd = load(p.first, c + 1);
        even = add(add(even, even), all(less(1 + low_quotients(k, c), before)));
        odd = add(add(odd, odd), all(less(low_quotients(k, c + 1), 1 + pairs_in(k, c))));
        product(&even, &odd, a, a);
        store(p.first, c, even);
        store(p.first, c + 1, odd);
    }
}

static __attribute__((noinline)) void pair_square(const bn_ring *ring, uint64_t *z, const uint64_t *x,
                                                  uint64_t *scratch) {
    size_t k = ring->digits, half = k * LANES;
    parts p = parts_of(ring, scratch);
    vector top = _mm256_setzero_si256();
    reals inverse = inverse_of(ring);
    to_reals(p.n, ring->n, k);
    to_reals(p.x, x, 2 * k);
    for (size_t i = 0; i < k; i++) { /* y = 2 a < 8 n < R */
        vector digit = load(x, i), twice = _mm256_and_si256(add(add(digit, digit), top), digit_mask());
        store_reals(p.y, i, real_of(twice));
        top = _mm256_srli_epi64(digit, 51);
    }
    square_columns(ring, p);
    start(p.second, k, 1);
    for (size_t i = 0; i < half; i += BLOCK * LANES) {
        quotient(p.first + i, p.q + i, p.q_reals, p.n, inverse);
        rows(p.second + i, p.y + i, p.x + half, k); /* fills the gaps of the quotient's chain */
        reduce_block(p.first + i, p.q_reals, p.n, k);
    }
    complement(p.second, p.q, k);
    for (size_t i = 0; i < half; i += BLOCK * LANES) {
        quotient(p.second + i, p.q, p.q_reals, p.n, inverse);
        reduce_block(p.second + i, p.q_reals, p.n, k);
    }
    normalise(z, p.first + half, k, 0);
    normalise(z + half, p.second + half, k, 1);
}

static __attribute__((noinline)) void single_square(const bn_ring *ring, uint64_t *z, const uint64_t *x,
                                                    uint64_t *scratch) {
    size_t k = ring->digits;
    parts p = parts_of(ring, scratch);
    reals inverse = inverse_of(ring);
    to_reals(p.n, ring->n, k);
    to_reals(p.x, x, k);
    square_columns(ring, p);
    for (size_t i = 0; i < k * LANES; i += BLOCK * LANES) {
        quotient(p.first + i, p.q, p.q_reals, p.n, inverse);
        reduce_block(p.first + i, p.q_reals, p.n, k);
    }
    normalise(z, p.first + k * LANES, k, 0);
}

/* ---- rounding ------------------------------------------------------------------------------------------ */

/* The thread's rounding mode is changed around a product, which is a call that no compiler moves code into. */
enum { TOWARDS_ZERO = 0x6000 };

INLINE unsigned round_towards_zero(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | TOWARDS_ZERO);
    return before;
}

static void multiply_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    unsigned before = round_towards_zero();
    pair_product(ring, z, x, y, scratch);
    _mm_setcsr(before);
}

static void square_pair(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    unsigned before = round_towards_zero();
    pair_square(ring, z, x, scratch);
    _mm_setcsr(before);
}

static void multiply_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    unsigned before = round_towards_zero();
    single_product(ring, z, x, y, scratch);
    _mm_setcsr(before);
}

static void square_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    unsigned before = round_towards_zero();
    single_square(ring, z, x, scratch);
    _mm_setcsr(before);
}

/* ---- tables -------------------------------------------------------------------------------------------- */

INLINE vector masked(vector found, vector entry, vector mask) {
    return _mm256_or_si256(found, _mm256_and_si256(entry, mask));
}

/* Every entry is read and masked, four at a time. */
static void pick(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t entries) {
    vector lanes = load(index, 0), masks[AT_ONCE];
    memset(z, 0, vectors * LANES * sizeof *z);
    for (size_t e = 0; e < entries; e += AT_ONCE) {
        UNROLL for (int f = 0; f < AT_ONCE; f++) masks[f] = _mm256_cmpeq_epi64(lanes, all(e + (size_t)f));
        for (size_t i = 0; i < vectors; i++) {
            vector found = load(z, i);
            UNROLL for (int f = 0; f < AT_ONCE; f++)
                found = masked(found, load(table, (e + (size_t)f) * vectors + i), masks[f]);
            store(z, i, found);
        }
    }
}

/* The groups take turns at each digit's entries while these are in the first-level cache. */
static void pick_shared(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t groups) {
    vector masks[ENTRIES];
    for (size_t g = 0; g < groups; g++) {
        for (size_t e = 0; e < ENTRIES; e++) masks[e] = _mm256_cmpeq_epi64(load(index, g), all(e));
        for (size_t i = 0; i < vectors; i++) {
            vector even = _mm256_setzero_si256(), odd = even;
            UNROLL for (int e = 0; e < ENTRIES; e += 2) {
                even = masked(even, all(table[i * ENTRIES + e]), masks[e]);
                odd = masked(odd, all(table[i * ENTRIES + e + 1]), masks[e + 1]);
            }
            store(z, g * vectors + i, _mm256_or_si256(even, odd));
        }
    }
    bn_wipe(masks, sizeof masks);
}

const bn_kernels bn_fma = {
    .lanes = LANES,
    .digit_bits = 52,
    .block = BLOCK,
    .comb_window = BN_WORD_COMB_WINDOW,
    .multiply = multiply_pairs,
    .square = square_pair,
    .multiply_single = multiply_single,
    .square_single = square_single,
    .pick = pick,
    .pick_shared = pick_shared,
};
