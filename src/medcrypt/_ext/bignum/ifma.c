/*
 * The AVX-512 IFMA kernel: eight values at a time, one in each 64-bit lane, digits of 52 bits.
 *
 * A digit's vector times another gives two 52-bit halves, which the instruction adds to 64-bit columns: column
 * i + j gets the low half of x_i y_j, column i + j + 1 the high one. Operands are normalised digits (the
 * instruction reads their low 52 bits only); columns are not. In one reduction a column gets at most 2 k halves
 * of each of three products, k <= 160, and the carry of the column before:
 *
 *   960 (2^52 - 1) + 2^52 + 2^12 < 2^62,  so columns neither overflow nor look negative.
 *
 * (Squares are summed up once and doubled: the same bound.) The work is cut into blocks of ten rows, x_i to
 * x_(i+9) times all of y: ten digits, eleven columns and y_j fit the registers.
 *
 * Quotient digits: q = -column n^-1 mod 2^52 makes the column's low 52 bits vanish, which carries 1 exactly if
 * they were not zero already: the carry is ceil(column / 2^52), and the low half of q n_0 is never computed.
 */
#include "bignum.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 8, BLOCK = 10, WINDOW = 7, ENTRIES = 1 << WINDOW };

typedef __m512i vector;

INLINE vector load(const uint64_t *x, size_t i) { return _mm512_loadu_si512(x + i * LANES); }
INLINE void store(uint64_t *x, size_t i, vector v) { _mm512_storeu_si512(x + i * LANES, v); }
INLINE vector low(vector sum, vector x, vector y) { return _mm512_madd52lo_epu64(sum, x, y); }
INLINE vector high(vector sum, vector x, vector y) { return _mm512_madd52hi_epu64(sum, x, y); }
INLINE vector add(vector x, vector y) { return _mm512_add_epi64(x, y); }
INLINE vector digit_mask(void) { return _mm512_set1_epi64((1LL << 52) - 1); }

/* ---- blocks of rows ----------------------------------------------------------------------------------- */

/* columns += (x_0 ... x_9) (y_0 ... y_(count-1)). Reads, but does not change, one column more. */
INLINE void rows(uint64_t *columns, const uint64_t *x, const uint64_t *y, size_t count) {
    vector a[BLOCK], c[BLOCK + 1];
    UNROLL for (int i = 0; i < BLOCK; i++) a[i] = load(x, i);
    UNROLL for (int i = 0; i <= BLOCK; i++) c[i] = load(columns, i);
    for (size_t j = 0; j < count; j++) {
        vector b = load(y, j);
        UNROLL for (int i = 0; i < BLOCK; i++) c[i] = low(c[i], a[i], b);
        UNROLL for (int i = 0; i < BLOCK; i++) c[i + 1] = high(c[i + 1], a[i], b);
        store(columns, j, c[0]);
        UNROLL for (int i = 0; i < BLOCK; i++) c[i] = c[i + 1];
        c[BLOCK] = load(columns, j + BLOCK + 1);
    }
    UNROLL for (int i = 0; i < BLOCK; i++) store(columns, count + i, c[i]);
}

/* Ten quotient digits, from the lowest ten columns; these vanish, and their carry goes into the eleventh. */
INLINE void quotient(uint64_t *columns, uint64_t *q, const uint64_t *n, vector inverse) {
    vector t[BLOCK], carry = _mm512_setzero_si512();
    UNROLL for (int i = 0; i < BLOCK; i++) t[i] = load(columns, i);
    UNROLL for (int i = 0; i < BLOCK; i++) {
        vector sum = add(t[i], carry);
        vector digit = low(_mm512_setzero_si512(), sum, inverse);
        carry = _mm512_srli_epi64(add(sum, digit_mask()), 52);
        store(q, i, digit);
        UNROLL for (int m = 1; m < BLOCK - i; m++) {
            t[i + m] = low(t[i + m], digit, load(n, m));
            t[i + m] = high(t[i + m], digit, load(n, m - 1));
        }
    }
    store(columns, BLOCK, add(load(columns, BLOCK), carry));
}

/* columns[10...] += q n, where the ten lowest columns are those that `quotient` dealt with. */
INLINE void reduce_block(uint64_t *columns, const uint64_t *q, const uint64_t *n, size_t k) {
    vector u[BLOCK];
    UNROLL for (int i = 0; i < BLOCK; i++) u[i] = load(columns, BLOCK + i);
    UNROLL for (int i = 0; i < BLOCK; i++) {
        vector digit = load(q, i);
        UNROLL for (int m = BLOCK - i; m < BLOCK; m++) u[i + m - BLOCK] = low(u[i + m - BLOCK], digit, load(n, m));
        UNROLL for (int m = BLOCK - 1 - i; m < BLOCK; m++)
            u[i + m - BLOCK + 1] = high(u[i + m - BLOCK + 1], digit, load(n, m));
    }
    UNROLL for (int i = 0; i < BLOCK; i++) store(columns, BLOCK + i, u[i]);
    rows(columns + BLOCK * LANES, q, n + BLOCK * LANES, k - BLOCK);
}

/* z = the k columns as digits, less `subtrahend`; the value is known to fit. */
INLINE void normalise(uint64_t *z, const uint64_t *columns, size_t k, long long subtrahend) {
    vector carry = _mm512_set1_epi64(-subtrahend);
    for (size_t i = 0; i < k; i++) {
        vector sum = add(load(columns, i), carry);
        store(z, i, _mm512_and_si512(sum, digit_mask()));
        carry = _mm512_srai_epi64(sum, 52); /* -1 only while nothing but the subtrahend came by */
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* Where the parts of a ring's scratch memory lie. */
typedef struct {
    uint64_t *first, *second; /* columns of a' and b': 2 k + 2 each, the last two never written */
    uint64_t *q, *q2;         /* quotients */
    uint64_t *twice;
} parts;

INLINE parts parts_of(const bn_ring *ring, uint64_t *scratch) {
    size_t k = ring->digits * LANES;
    parts p = {scratch, scratch + 2 * k + 2 * LANES, scratch + 4 * k + 4 * LANES, scratch + 5 * k + 4 * LANES,
               scratch + 6 * k + 4 * LANES};
    return p;
}

INLINE void clear(uint64_t *columns, size_t k) { memset(columns, 0, (2 * k + 2) * LANES * sizeof *columns); }

/* first = x y / R as columns k to 2 k - 1, and its quotient. */
INLINE void first_half(const bn_ring *ring, parts p, const uint64_t *x, const uint64_t *y) {
    size_t k = ring->digits;
    vector inverse = load(ring->inverse, 0);
    clear(p.first, k);
    for (size_t i = 0; i < k * LANES; i += BLOCK * LANES) {
        rows(p.first + i, x + i, y, BLOCK);
        quotient(p.first + i, p.q + i, ring->n, inverse); /* a long chain: the next rows fill its gaps */
        rows(p.first + i + BLOCK * LANES, x + i, y + BLOCK * LANES, k - BLOCK);
        reduce_block(p.first + i, p.q + i, ring->n, k);
    }
}

/* second = R - 1 - q + 1. */
INLINE void complement(uint64_t *columns, const uint64_t *q, size_t k) {
    for (size_t i = 0; i < k; i++)
        store(columns, i, add(load(columns, i), _mm512_xor_si512(load(q, i), digit_mask())));
    store(columns, 0, add(load(columns, 0), _mm512_set1_epi64(1)));
}

static void multiply_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits, half = k * LANES;
    parts p = parts_of(ring, scratch);
    vector inverse = load(ring->inverse, 0);
    first_half(ring, p, x, y);
    clear(p.second, k);
    complement(p.second, p.q, k);
    for (size_t i = 0; i < half; i += BLOCK * LANES) {
        rows(p.second + i, x + i, y + half, k);
        rows(p.second + i, x + half + i, y, BLOCK);
        quotient(p.second + i, p.q2, ring->n, inverse);
        rows(p.second + i + BLOCK * LANES, x + half + i, y + BLOCK * LANES, k - BLOCK);
        reduce_block(p.second + i, p.q2, ring->n, k);
    }
    normalise(z, p.first + half, k, 0);
    normalise(z + half, p.second + half, k, 1);
}

static void multiply_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    parts p = parts_of(ring, scratch);
    first_half(ring, p, x, y);
    normalise(z, p.first + ring->digits * LANES, ring->digits, 0);
}

/* columns += the products x_i x_j, i < j, of ten digits. */
INLINE void triangle(uint64_t *columns, const uint64_t *x) {
    vector c[2 * BLOCK];
    UNROLL for (int i = 0; i < 2 * BLOCK; i++) c[i] = load(columns, i);
    UNROLL for (int i = 0; i < BLOCK - 1; i++) {
        vector a = load(x, i);
        UNROLL for (int j = i + 1; j < BLOCK; j++) c[i + j] = low(c[i + j], a, load(x, j));
        UNROLL for (int j = i + 1; j < BLOCK; j++) c[i + j + 1] = high(c[i + j + 1], a, load(x, j));
    }
    UNROLL for (int i = 0; i < 2 * BLOCK; i++) store(columns, i, c[i]);
}

/* first = x^2 as 2 k columns. */
INLINE void square_columns(const bn_ring *ring, parts p, const uint64_t *x) {
    size_t k = ring->digits;
    clear(p.first, k);
    for (size_t i = 0; i < k; i += BLOCK) {
        triangle(p.first + 2 * i * LANES, x + i * LANES);
        rows(p.first + (2 * i + BLOCK) * LANES, x + i * LANES, x + (i + BLOCK) * LANES, k - i - BLOCK);
    }
    for (size_t i = 0; i < k; i++) {
        vector a = load(x, i), even = load(p.first, 2 * i), odd = load(p.first, 2 * i + 1);
        store(p.first, 2 * i, low(add(even, even), a, a));
        store(p.first, 2 * i + 1, high(add(odd, odd), a, a));
    }
}

static void square_pair(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t k = ring->digits, half = k * LANES;
    parts p = parts_of(ring, scratch);
    vector inverse = load(ring->inverse, 0), top = _mm512_setzero_si512();
    for (size_t i = 0; i < k; i++) { /* 2 a < 8 n < R */
        vector digit = load(x, i);
        store(p.twice, i, _mm512_and_si512(add(add(digit, digit), top), digit_mask()));
        top = _mm512_srli_epi64(digit, 51);
    }
    square_columns(ring, p, x);
    clear(p.second, k);
    for (size_t i = 0; i < half; i += BLOCK * LANES) {
        quotient(p.first + i, p.q + i, ring->n, inverse);
        rows(p.second + i, p.twice + i, x + half, k); /* fills the gaps of the quotient's chain */
        reduce_block(p.first + i, p.q + i, ring->n, k);
    }
    complement(p.second, p.q, k);
    for (size_t i = 0; i < half; i += BLOCK * LANES) {
        quotient(p.second + i, p.q2, ring->n, inverse);
        reduce_block(p.second + i, p.q2, ring->n, k);
    }
    normalise(z, p.first + half, k, 0);
    normalise(z + half, p.second + half, k, 1);
}

static void square_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t k = ring->digits;
    parts p = parts_of(ring, scratch);
    vector inverse = load(ring->inverse, 0);
    square_columns(ring, p, x);
    for (size_t i = 0; i < k * LANES; i += BLOCK * LANES) {
        quotient(p.first + i, p.q, ring->n, inverse);
        reduce_block(p.first + i, p.q, ring->n, k);
    }
    normalise(z, p.first + k * LANES, k, 0);
}

/* ---- tables -------------------------------------------------------------------------------------------- */

/* z |= that of sixteen entries, from entry `first` on, which a lane asks for; the masks stay in registers. */
INLINE void pick_sixteen(uint64_t *z, const uint64_t *table, vector lanes, size_t first, size_t vectors) {
    vector masks[BN_PICKED];
    UNROLL for (int e = 0; e < BN_PICKED; e++)
        masks[e] = _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(lanes, _mm512_set1_epi64((long long)first + e)));
    for (size_t i = 0; i < vectors; i++) {
        vector even = load(z, i), odd = _mm512_setzero_si512();
        UNROLL for (int e = 0; e < BN_PICKED; e += 2) { /* x | (entry & mask) */
            even = _mm512_ternarylogic_epi64(even, load(table, (first + e) * vectors + i), masks[e], 0xf8);
            odd = _mm512_ternarylogic_epi64(odd, load(table, (first + e + 1) * vectors + i), masks[e + 1], 0xf8);
        }
        store(z, i, _mm512_or_si512(even, odd));
    }
}

/* Every entry is read. */
static void pick(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t entries) {
    memset(z, 0, vectors * LANES * sizeof *z);
    for (size_t e = 0; e < entries; e += BN_PICKED) pick_sixteen(z, table, load(index, 0), e, vectors);
}

/* One digit: sixteen entries at a time are permuted by the low four bits of each lane's index, then the other bits
 * choose between them. */
INLINE vector pick_digit(const uint64_t *entries, vector index) {
    vector found[ENTRIES / 16];
    UNROLL for (int e = 0; e < ENTRIES / 16; e++)
        found[e] = _mm512_permutex2var_epi64(load(entries, 2 * e), index, load(entries, 2 * e + 1));
    UNROLL for (int left = ENTRIES / 32, bit = 16; left > 0; left /= 2, bit *= 2) {
        __mmask8 upper = _mm512_test_epi64_mask(index, _mm512_set1_epi64(bit));
        UNROLL for (int e = 0; e < left; e++)
            found[e] = _mm512_mask_blend_epi64(upper, found[2 * e], found[2 * e + 1]);
    }
    return found[0];
}

/* The groups take turns at each digit's entries while these are in the first-level cache. */
static void pick_shared(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t groups) {
    for (size_t i = 0; i < vectors; i++)
        for (size_t g = 0; g < groups; g++)
            store(z, g * vectors + i, pick_digit(table + i * ENTRIES, load(index, g)));
}

const bn_kernels bn_ifma = {
    .lanes = LANES,
    .digit_bits = 52,
    .block = BLOCK,
    .comb_window = WINDOW,
    .multiply = multiply_pairs,
    .square = square_pair,
    .multiply_single = multiply_single,
    .square_single = square_single,
    .pick = pick,
    .pick_shared = pick_shared,
};
