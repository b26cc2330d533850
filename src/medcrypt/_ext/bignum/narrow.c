/*
 * The AVX-512 IFMA kernel for few values: two of them, one for each prime of a key holder, four digits of each in a
 * vector. It multiplies as ifma.c does, with the same digits, columns and bounds, but needs a quarter of the
 * instructions for two values that ifma.c needs for eight.
 *
 * The work is cut into blocks of four rows: digits x_0 to x_3, each broadcast, times all of y. Digit x_s times digit j
 * of y belongs to column s + j: the vector of columns v gets x_s times the digits of y from 4 v - s on. These lie ready
 * in four copies of y, each moved up by one digit more, and columns never move.
 *
 * What is left of 64-bit columns is carried at the end: after one step upwards digits are below 2^52 + 2^12, and of
 * what is still to be carried there is at most 1 a digit. A digit above 2^52 - 1 generates a carry, one equal to it
 * passes one on; as bits of an integer, an addition does both for 32 digits.
 */
#include "bignum.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 2, BLOCK = 4, WORDS = LANES * BLOCK, MOST = 8 };

typedef __m512i vector;

INLINE vector load(const uint64_t *x, size_t v) { return _mm512_loadu_si512(x + v * WORDS); }
INLINE void store(uint64_t *x, size_t v, vector value) { _mm512_storeu_si512(x + v * WORDS, value); }
INLINE vector low(vector sum, vector x, vector y) { return _mm512_madd52lo_epu64(sum, x, y); }
INLINE vector high(vector sum, vector x, vector y) { return _mm512_madd52hi_epu64(sum, x, y); }
INLINE vector add(vector x, vector y) { return _mm512_add_epi64(x, y); }
INLINE vector digit_mask(void) { return _mm512_set1_epi64((1LL << 52) - 1); }

/* Digit i of both values, four times. */
INLINE vector broadcast(const uint64_t *x, size_t i) {
    return _mm512_broadcast_i64x2(_mm_loadu_si128((const __m128i *)(x + i * LANES)));
}

/* Vector v of y moved up by s digits, out of what `copies` made; s = 4 is the vector before. */
INLINE vector shifted(const uint64_t *y, size_t v, int s) {
    return _mm512_load_si512(y + (v * BLOCK + (size_t)s) * WORDS - (s == BLOCK ? 2 * BLOCK * WORDS : 0));
}

/* Moved up by one digit, the lowest coming from the vector before. */
INLINE vector one_up(vector digits, vector before) { return _mm512_alignr_epi64(digits, before, WORDS - LANES); }

/* ---- blocks of rows ------------------------------------------------------------------------------------ */

typedef struct {
    vector digit[BLOCK]; /* broadcast */
} rows;

INLINE rows rows_of(const uint64_t *x, size_t block) {
    rows r;
    UNROLL for (int s = 0; s < BLOCK; s++) r.digit[s] = broadcast(x, block * BLOCK + (size_t)s);
    return r;
}

/* sum += the part of x_0 ... x_3 times y that belongs to vector v. */
INLINE vector plus_rows(vector sum, rows x, const uint64_t *y, size_t v) {
    vector lows = _mm512_setzero_si512(), highs = lows; /* `sum` comes last: others may wait for it */
    UNROLL for (int s = 0; s < BLOCK; s++) lows = low(lows, x.digit[s], shifted(y, v, s));
    UNROLL for (int s = 0; s < BLOCK; s++) highs = high(highs, x.digit[s], shifted(y, v, s + 1));
    return add(sum, add(lows, highs));
}

/* columns += x_0 ... x_3 times y, whose vectors are counted from `from` to the one after the last. */
INLINE void add_rows(uint64_t *columns, rows x, const uint64_t *y, size_t from, size_t vectors) {
    for (size_t v = from; v <= vectors; v++) store(columns, v, plus_rows(load(columns, v), x, y, v));
}

/* A vector of columns on its way to four quotient digits. */
typedef struct {
    vector columns, carry;
    rows q;
} chain;

/* Digit s of the quotient, which makes column s vanish but for what it carries. */
INLINE void quotient_digit(chain *c, const int s, const uint64_t *n, vector inverse) {
    vector sum, lows, highs;
    c->columns = _mm512_mask_add_epi64(c->columns, (__mmask8)(3 << LANES * s), c->columns, c->carry);
    switch (s) {
    case 0: sum = _mm512_shuffle_i64x2(c->columns, c->columns, 0x00); break;
    case 1: sum = _mm512_shuffle_i64x2(c->columns, c->columns, 0x55); break;
    case 2: sum = _mm512_shuffle_i64x2(c->columns, c->columns, 0xaa); break;
    default: sum = _mm512_shuffle_i64x2(c->columns, c->columns, 0xff); break;
    }
    c->q.digit[s] = low(_mm512_setzero_si512(), sum, inverse);
    c->carry = _mm512_srli_epi64(add(sum, digit_mask()), 52);
    lows = low(c->columns, c->q.digit[s], shifted(n, 0, s));
    highs = high(_mm512_setzero_si512(), c->q.digit[s], shifted(n, 0, s + 1));
    c->columns = add(lows, highs);
}

/* Four quotient digits from the lowest vector, which vanishes; its carry goes into the next one. */
INLINE rows quotient(vector lowest, vector *next, const uint64_t *n, vector inverse) {
    chain c = {.columns = lowest, .carry = _mm512_setzero_si512()};
    UNROLL for (int s = 0; s < BLOCK; s++) quotient_digit(&c, s, n, inverse);
    *next = _mm512_mask_add_epi64(*next, 3, *next, c.carry);
    return c.q;
}

/* Two of them, step by step, since each step waits for the one before. */
INLINE void two_quotients(rows *q, rows *r, vector *a, vector *b, const uint64_t *n, vector inverse) {
    chain c = {.columns = a[0], .carry = _mm512_setzero_si512()}, d = {.columns = b[0], .carry = c.carry};
    UNROLL for (int s = 0; s < BLOCK; s++) {
        quotient_digit(&c, s, n, inverse);
        quotient_digit(&d, s, n, inverse);
    }
    a[1] = _mm512_mask_add_epi64(a[1], 3, a[1], c.carry);
    b[1] = _mm512_mask_add_epi64(b[1], 3, b[1], d.carry);
    *q = c.q, *r = d.q;
}

/* The same where columns are in memory, and q n added to them. */
INLINE rows reduce(uint64_t *columns, const uint64_t *n, vector inverse, size_t vectors) {
    vector next = load(columns, 1);
    rows q = quotient(load(columns, 0), &next, n, inverse);
    store(columns, 1, next);
    add_rows(columns, q, n, 1, vectors);
    return q;
}

/* The four quotient digits as they lie in a vector. */
INLINE vector gathered(rows q) {
    vector lower = _mm512_mask_blend_epi64(0x0c, q.digit[0], q.digit[1]);
    vector upper = _mm512_mask_blend_epi64(0xc0, q.digit[2], q.digit[3]);
    return _mm512_mask_blend_epi64(0xf0, lower, upper);
}

/* ---- carries ------------------------------------------------------------------------------------------- */

/* Which digits of one lane, every other bit from bit 0 on, receive a carry; `into` the lowest. The bits between them
 * are ones, which pass a carry on. */
INLINE uint64_t carried(uint64_t generate, uint64_t pass, uint64_t *into) {
    const uint64_t lane = UINT64_C(0x5555555555555555);
    uint64_t sum, ones = (pass & lane) | ~lane;
    uint64_t over = __builtin_add_overflow(ones, (generate & lane) << 1, &sum);
    over |= __builtin_add_overflow(sum, *into, &sum);
    *into = over;
    return (sum ^ ones) & lane;
}

/* z = the columns as digits, less 1 if `less_one`; the value is known to fit. */
INLINE void normalise(uint64_t *z, const uint64_t *columns, size_t vectors, int less_one) {
    /* Less 1 is plus R - 1, all ones, without the carry out of the highest digit. */
    vector before = _mm512_setzero_si512(), ones = less_one ? digit_mask() : before;
    uint64_t into[LANES] = {0, 0};
    for (size_t from = 0; from < vectors; from += WORDS) {
        size_t here = vectors - from < WORDS ? vectors - from : WORDS;
        uint64_t generate = 0, pass = 0;
        for (size_t v = 0; v < here; v++) {
            vector sum = add(load(columns, from + v), ones), up = _mm512_srli_epi64(sum, 52);
            sum = add(_mm512_and_si512(sum, digit_mask()), one_up(up, before));
            before = up;
            generate |= (uint64_t)_mm512_cmpgt_epu64_mask(sum, digit_mask()) << WORDS * v;
            pass |= (uint64_t)_mm512_cmpeq_epu64_mask(sum, digit_mask()) << WORDS * v;
            store(z, from + v, sum);
        }
        uint64_t carries = carried(generate, pass, &into[0]) | carried(generate >> 1, pass >> 1, &into[1]) << 1;
        for (size_t v = 0; v < here; v++) {
            vector sum = load(z, from + v);
            sum = _mm512_mask_add_epi64(sum, (__mmask8)(carries >> WORDS * v), sum, _mm512_set1_epi64(1));
            store(z, from + v, _mm512_and_si512(sum, digit_mask()));
        }
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* Where the parts of a ring's scratch memory lie. */
typedef struct {
    size_t vectors;           /* of a number */
    uint64_t *first, *second; /* columns of a' and b' */
    uint64_t *n, *a, *b; /* copies */
    uint64_t *twice;
    vector inverse;
} parts;

INLINE parts parts_of(const bn_ring *ring, uint64_t *scratch) {
    size_t vectors = ring->digits / BLOCK, copied = (vectors + 2) * BLOCK * WORDS, columns = (2 * vectors + 1) * WORDS;
    parts p = {.vectors = vectors, .first = scratch, .second = scratch + columns, .twice = scratch + 2 * columns};
    p.n = p.twice + (vectors + BLOCK) * WORDS;
    p.a = p.n + copied, p.b = p.a + copied;
    p.inverse = broadcast(ring->inverse, 0);
    return p;
}

/* For every vector of x, and one more, the four that begin 0 to 3 digits earlier; and zeros as what lies before. */
INLINE void copy(uint64_t *copies, const uint64_t *x, size_t vectors) {
    vector before = _mm512_setzero_si512();
    store(copies - BLOCK * WORDS, 0, before);
    for (size_t v = 0; v <= vectors; v++, copies += BLOCK * WORDS) {
        vector digits = v < vectors ? load(x, v) : _mm512_setzero_si512();
        store(copies, 0, digits);
        store(copies, 1, _mm512_alignr_epi64(digits, before, WORDS - LANES));
        store(copies, 2, _mm512_alignr_epi64(digits, before, WORDS - 2 * LANES));
        store(copies, 3, _mm512_alignr_epi64(digits, before, WORDS - 3 * LANES));
        before = digits;
    }
}

/* Scratch memory starts from zeros and serves one ring; n, which is odd, is copied at its first use. */
INLINE void copy_modulus(const bn_ring *ring, parts p) {
    if (p.n[0] == 0) copy(p.n, ring->n, p.vectors);
}

INLINE void clear(uint64_t *columns, size_t vectors) { memset(columns, 0, (2 * vectors + 1) * WORDS * sizeof *columns); }

/* first = x y / R for y = a, second = (x v + u a - q) / R for v = b, as upper columns; u may be NULL. */
INLINE void both_halves(parts p, const uint64_t *x, const uint64_t *x_of_b, const uint64_t *u) {
    size_t vectors = p.vectors;
    clear(p.first, vectors);
    clear(p.second, vectors);
    store(p.second, 0, _mm512_maskz_set1_epi64(3, 1));
    for (size_t t = 0; t < vectors; t++) {
        uint64_t *first = p.first + t * WORDS, *second = p.second + t * WORDS;
        add_rows(first, rows_of(x, t), p.a, 0, vectors);
        rows q = reduce(first, p.n, p.inverse, vectors);
        add_rows(second, rows_of(x_of_b, t), p.b, 0, vectors);
        if (u != NULL) add_rows(second, rows_of(u, t), p.a, 0, vectors);
        store(second, 0, add(load(second, 0), _mm512_xor_si512(gathered(q), digit_mask())));
        reduce(second, p.n, p.inverse, vectors);
    }
}

/* columns += digits times y from vector `from` on. */
INLINE void add_in_registers(vector *columns, rows digits, const uint64_t *y, const size_t from, const size_t vectors) {
    UNROLL for (size_t v = from; v <= vectors; v++) columns[v] = plus_rows(columns[v], digits, y, v);
}

/* columns += q n for a quotient whose lowest vector vanished; the next vector becomes the lowest. */
INLINE void reduce_in_registers(vector *columns, rows q, const uint64_t *n, const size_t vectors) {
    add_in_registers(columns, q, n, 1, vectors);
    UNROLL for (size_t v = 0; v < vectors; v++) columns[v] = columns[v + 1];
    columns[vectors] = _mm512_setzero_si512();
}

/* The same with the columns in registers, for a number of vectors that the compiler knows. The second half is a block
 * behind the first: two chains of quotient digits are under way at a time. */
INLINE void halves_in_registers(parts p, const uint64_t *x, const uint64_t *x_of_b, const uint64_t *u,
                                const size_t vectors) {
    vector a[MOST + 1], b[MOST + 1];
    UNROLL for (size_t v = 0; v <= vectors; v++) a[v] = b[v] = _mm512_setzero_si512();
    b[0] = _mm512_maskz_set1_epi64(3, 1);
    add_in_registers(a, rows_of(x, 0), p.a, 0, vectors);
    rows q = quotient(a[0], &a[1], p.n, p.inverse), r;
    for (size_t t = 0; t < vectors; t++) {
        add_in_registers(b, rows_of(x_of_b, t), p.b, 0, vectors);
        if (u != NULL) add_in_registers(b, rows_of(u, t), p.a, 0, vectors);
        b[0] = add(b[0], _mm512_xor_si512(gathered(q), digit_mask()));
        reduce_in_registers(a, q, p.n, vectors);
        if (t + 1 < vectors) {
            add_in_registers(a, rows_of(x, t + 1), p.a, 0, vectors);
            two_quotients(&q, &r, a, b, p.n, p.inverse);
        } else {
            r = quotient(b[0], &b[1], p.n, p.inverse);
        }
        reduce_in_registers(b, r, p.n, vectors);
    }
    UNROLL for (size_t v = 0; v < vectors; v++) {
        store(p.first, vectors + v, a[v]);
        store(p.second, vectors + v, b[v]);
    }
}

/* The primes of keys of 2048 and 3072 bits have 5 and 8 vectors of digits. */
INLINE void halves(parts p, const uint64_t *x, const uint64_t *x_of_b, const uint64_t *u) {
    if (p.vectors == 5) halves_in_registers(p, x, x_of_b, u, 5);
    else if (p.vectors == MOST) halves_in_registers(p, x, x_of_b, u, MOST);
    else both_halves(p, x, x_of_b, u);
}

static void multiply_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    parts p = parts_of(ring, scratch);
    size_t half = p.vectors * WORDS;
    copy_modulus(ring, p);
    copy(p.a, y, p.vectors);
    copy(p.b, y + half, p.vectors);
    halves(p, x, x, x + half);
    normalise(z, p.first + half, p.vectors, 0);
    normalise(z + half, p.second + half, p.vectors, 1);
}

static void square_pair(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    parts p = parts_of(ring, scratch);
    size_t half = p.vectors * WORDS;
    vector before = _mm512_setzero_si512();
    copy_modulus(ring, p);
    copy(p.a, x, p.vectors);
    copy(p.b, x + half, p.vectors);
    for (size_t v = 0; v < p.vectors; v++) { /* 2 a < 8 n < R */
        vector digits = load(x, v), tops = _mm512_srli_epi64(digits, 51);
        store(p.twice, v, _mm512_or_si512(_mm512_and_si512(add(digits, digits), digit_mask()), one_up(tops, before)));
        before = tops;
    }
    halves(p, x, p.twice, NULL);
    normalise(z, p.first + half, p.vectors, 0);
    normalise(z + half, p.second + half, p.vectors, 1);
}

static void multiply_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    parts p = parts_of(ring, scratch);
    copy_modulus(ring, p);
    copy(p.a, y, p.vectors);
    clear(p.first, p.vectors);
    for (size_t t = 0; t < p.vectors; t++) {
        uint64_t *first = p.first + t * WORDS;
        add_rows(first, rows_of(x, t), p.a, 0, p.vectors);
        reduce(first, p.n, p.inverse, p.vectors);
    }
    normalise(z, p.first + p.vectors * WORDS, p.vectors, 0);
}

static void square_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    multiply_single(ring, z, x, x, scratch);
}

/* ---- tables -------------------------------------------------------------------------------------------- */

INLINE vector mask_of(const uint64_t *index, size_t e) {
    return _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(broadcast(index, 0), _mm512_set1_epi64((long long)e)));
}

INLINE vector masked(vector found, vector entry, vector mask) {
    return _mm512_ternarylogic_epi64(found, entry, mask, 0xf8); /* found | (entry & mask) */
}

/* Every entry is read. */
static void pick(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t digits, size_t entries) {
    size_t vectors = digits / BLOCK;
    memset(z, 0, digits * LANES * sizeof *z);
    for (size_t e = 0; e < entries; e += 4) {
        vector masks[4];
        UNROLL for (int f = 0; f < 4; f++) masks[f] = mask_of(index, e + (size_t)f);
        for (size_t v = 0; v < vectors; v++) {
            vector found = load(z, v);
            UNROLL for (int f = 0; f < 4; f++)
                found = masked(found, load(table, (e + (size_t)f) * vectors + v), masks[f]);
            store(z, v, found);
        }
    }
}

/* Eight entries of one digit at a time, for both values. */
static void pick_shared(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t digits, size_t groups) {
    enum { ENTRIES = 1 << BN_WORD_COMB_WINDOW };
    for (size_t g = 0; g < groups; g++)
        for (size_t l = 0; l < LANES; l++) {
            __mmask8 masks[ENTRIES / 8];
            const vector steps = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
            vector wanted = _mm512_set1_epi64((long long)index[g * LANES + l]);
            UNROLL for (int e = 0; e < ENTRIES / 8; e++)
                masks[e] = _mm512_cmpeq_epi64_mask(wanted, add(steps, _mm512_set1_epi64(8 * e)));
            for (size_t i = 0; i < digits; i++) {
                vector found = _mm512_setzero_si512();
                UNROLL for (int e = 0; e < ENTRIES / 8; e++)
                    found = _mm512_mask_or_epi64(found, masks[e], found, load(table + i * ENTRIES, (size_t)e));
                z[(g * digits + i) * LANES + l] = (uint64_t)_mm512_reduce_or_epi64(found);
            }
        }
}

const bn_kernels bn_narrow = {
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
