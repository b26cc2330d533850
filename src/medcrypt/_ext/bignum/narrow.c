/*
 * The AVX-512 IFMA kernel for few values: two of them, one for each prime of a key holder. A vector holds two digits of
 * each half of both pairs,
 *
 *   a_2v(p) a_2v(q) a_2v+1(p) a_2v+1(q) | b_2v(p) b_2v(q) b_2v+1(p) b_2v+1(q)
 *
 * so that one instruction works for a' and b' at once. It multiplies as ifma.c does, with the same digits, columns and
 * bounds.
 *
 * The work is cut into blocks of two rows: digits x_0 and x_1, each broadcast, times all of y. Digit x_s times digit j of
 * y belongs to column s + j: the vector of columns v gets x_s times the digits of y from 2 v - s on. These lie ready in
 * two copies of y, the second moved up by a digit, and columns never move within a vector.
 *
 * b' gives the quotient digits of a', which must be known then: it is a block behind, and its columns are signed. Those
 * that vanish sum up to -q and more, a multiple of R above -R: what they carry is not negative, nor is what is left.
 * While the columns of one block are reduced they receive the rows of the next one, which wait for no quotient digit.
 *
 * What is left of 64-bit columns is carried at the end: after one step upwards digits are below 2^52 + 2^12, and of
 * what is still to be carried there is at most 1 a digit. A digit above 2^52 - 1 generates a carry, one equal to it
 * passes one on; as bits of an integer, an addition does both for 16 digits.
 */
#include "bignum.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

enum {
    LANES = 2,
    BLOCK = 2,
    WORDS = 8,
    HALF = 4,    /* words of a vector that belong to a' */
    SHORT = 10,  /* vectors of the primes of keys of 2048 bits */
    LONG = 15,   /* and of 3072 */
    TOGETHER = 8 /* entries of a table that are read at a time */
};

typedef __m512i vector;

INLINE vector load(const uint64_t *x, size_t v) { return _mm512_loadu_si512(x + v * WORDS); }
INLINE void store(uint64_t *x, size_t v, vector value) { _mm512_storeu_si512(x + v * WORDS, value); }
INLINE vector low(vector sum, vector x, vector y) { return _mm512_madd52lo_epu64(sum, x, y); }
INLINE vector high(vector sum, vector x, vector y) { return _mm512_madd52hi_epu64(sum, x, y); }
INLINE vector add(vector x, vector y) { return _mm512_add_epi64(x, y); }
INLINE vector zeros(void) { return _mm512_setzero_si512(); }
INLINE vector digit_mask(void) { return _mm512_set1_epi64((1LL << 52) - 1); }

/* Two digits of both values. */
INLINE __m256i digits_at(const uint64_t *x, size_t v) { return _mm256_loadu_si256((const __m256i *)(x + v * HALF)); }
INLINE vector joined(__m256i a, __m256i b) { return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1); }

/* The lower or upper digit of each half, twice. */
INLINE vector lower(vector x) { return _mm512_permutex_epi64(x, 0x44); }
INLINE vector upper(vector x) { return _mm512_permutex_epi64(x, 0xee); }

/* Each half moved up by one digit, the lowest coming from the vector before. */
INLINE vector one_up(vector digits, vector before) {
    return _mm512_permutex2var_epi64(digits, _mm512_set_epi64(5, 4, 15, 14, 1, 0, 11, 10), before);
}

/* ---- operands ------------------------------------------------------------------------------------------ */

/* Where the parts of a ring's scratch memory lie. */
typedef struct {
    size_t vectors;    /* of a pair */
    uint64_t *columns; /* one vector more */
    uint64_t *n, *y, *z; /* copies, for the modulus and two factors */
    uint64_t *rows, *others; /* the other factors, two vectors more */
    vector inverse;
} parts;

INLINE parts parts_of(const bn_ring *ring, uint64_t *scratch) {
    size_t vectors = ring->digits / BLOCK, copied = (2 * vectors + 4) * WORDS, rows = (vectors + 2) * WORDS;
    parts p = {.vectors = vectors, .columns = scratch, .rows = scratch + rows, .others = scratch + 2 * rows};
    p.n = p.others + rows + 2 * WORDS;
    p.y = p.n + copied, p.z = p.y + copied;
    p.inverse = _mm512_broadcast_i64x2(_mm_loadu_si128((const __m128i *)ring->inverse));
    return p;
}

/* For every vector, and one more, the digits of x in both halves, and those from one digit earlier on; before them there
 * are zeros. */
INLINE void copy(uint64_t *copies, const uint64_t *x, size_t vectors) {
    vector before = zeros();
    store(copies - 2 * WORDS, 0, before);
    for (size_t v = 0; v <= vectors; v++) {
        vector digits = v < vectors ? _mm512_broadcast_i64x4(digits_at(x, v)) : zeros();
        store(copies, 2 * v, digits);
        store(copies, 2 * v + 1, one_up(digits, before));
        before = digits;
    }
}

/* Scratch memory starts from zeros and serves one ring; n, which is odd, is copied at its first use. */
INLINE void copy_modulus(const bn_ring *ring, parts p) {
    if (p.n[0] == 0) copy(p.n, ring->n, p.vectors);
}

/* Rows of a' and, a block later, of b'. NULL stands for zeros. */
INLINE void lay_rows(uint64_t *rows, const uint64_t *a, const uint64_t *b, size_t vectors) {
    const __m256i none = _mm256_setzero_si256();
    for (size_t v = 0; v <= vectors; v++)
        store(rows, v, joined(a != NULL && v < vectors ? digits_at(a, v) : none,
                              b != NULL && v > 0 ? digits_at(b, v - 1) : none));
}

/* The same for a and 2 b, which is below 8 n < R. */
INLINE void lay_rows_of_square(uint64_t *rows, const uint64_t *a, const uint64_t *b, size_t vectors) {
    const __m256i none = _mm256_setzero_si256(), mask = _mm512_castsi512_si256(digit_mask());
    __m256i before = none, twice = none;
    for (size_t v = 0; v <= vectors; v++) {
        store(rows, v, joined(v < vectors ? digits_at(a, v) : none, twice));
        if (v == vectors) break;
        __m256i digits = digits_at(b, v), tops = _mm256_srli_epi64(digits, 51);
        twice = _mm256_or_si256(_mm256_and_si256(_mm256_add_epi64(digits, digits), mask),
                                _mm256_permute2x128_si256(before, tops, 0x21));
        before = tops;
    }
}

/* ---- blocks of rows ------------------------------------------------------------------------------------ */

/* Two rows, broadcast. */
typedef struct {
    vector first, second;
} digits;

INLINE digits row(const uint64_t *rows, size_t t) {
    vector x = load(rows, t);
    return (digits){lower(x), upper(x)};
}

/* What belongs to a vector of columns: digits of y, and those one and two digits before. */
typedef struct {
    vector same, one, two;
} window;

/* The windows of vector v and the one after it. */
INLINE window first_window(const uint64_t *copies, size_t v) {
    return (window){load(copies, 2 * v), load(copies, 2 * v + 1), load(copies, 2 * v - 2)};
}
INLINE window after(window w, const uint64_t *copies, size_t v) {
    return (window){load(copies, 2 * v), load(copies, 2 * v + 1), w.same};
}

/* sum += the part of x_0, x_1 times y that belongs to a window; for the first and the last one without what is 0. */
INLINE vector plus(vector sum, digits x, window y) {
    sum = low(sum, x.first, y.same);
    sum = low(sum, x.second, y.one);
    sum = high(sum, x.first, y.one);
    return high(sum, x.second, y.two);
}
INLINE vector plus_first(vector sum, digits x, window y) {
    return high(low(low(sum, x.first, y.same), x.second, y.one), x.first, y.one);
}
INLINE vector plus_last(vector sum, digits x, window y) {
    return high(high(low(sum, x.second, y.one), x.first, y.one), x.second, y.two);
}

/* Two quotient digits of each half from the lowest columns, which vanish; `carry` belongs to the next vector. */
INLINE digits quotient(vector lowest, vector *carry, const uint64_t *n, vector inverse) {
    digits q;
    vector sum = lower(lowest);
    q.first = low(zeros(), sum, inverse);
    vector over = _mm512_srai_epi64(add(sum, digit_mask()), 52);
    lowest = _mm512_mask_add_epi64(lowest, 0xcc, lowest, over);
    lowest = add(low(lowest, q.first, load(n, 0)), high(zeros(), q.first, load(n, 1)));
    sum = upper(lowest);
    q.second = low(zeros(), sum, inverse);
    *carry = _mm512_maskz_srai_epi64(0x33, add(sum, digit_mask()), 52);
    return q;
}

/* What the next block begins with: the carry, less the quotient digits of a' for b'. */
INLINE vector handed_over(digits q, vector carry) {
    vector both = _mm512_mask_blend_epi64(0x0c, q.first, q.second);
    return _mm512_mask_sub_epi64(carry, 0xf0, carry, _mm512_shuffle_i64x2(both, both, 0x44));
}

/* columns += the rows x times y, from vector 0 on. */
INLINE void add_row(uint64_t *columns, digits x, const uint64_t *y, const size_t vectors) {
    window w = first_window(y, 0);
    for (size_t v = 0; v <= vectors; v++) {
        if (v > 0) w = after(w, y, v);
        store(columns, v, plus(load(columns, v), x, w));
    }
}

/* columns = (x y + others z) / R for the rows x and others, and copies of y and z; `others` may be NULL. */
INLINE void multiply_in_memory(parts p, const uint64_t *others, const size_t vectors) {
    uint64_t *columns = p.columns;
    memset(columns, 0, (vectors + 2) * WORDS * sizeof *columns);
    add_row(columns, row(p.rows, 0), p.y, vectors);
    vector lowest = load(columns, 0), carry;
    for (size_t t = 0; t < vectors; t++) {
        digits q = quotient(lowest, &carry, p.n, p.inverse), x = row(p.rows, t + 1), o = x;
        if (others != NULL) o = row(others, t + 1);
        window y = first_window(p.y, 0), z = first_window(p.z, 0), n = first_window(p.n, 1);
        for (size_t v = 1; v <= vectors; v++) {
            if (v > 1) n = after(n, p.n, v), y = after(y, p.y, v - 1);
            vector sum = plus(plus(load(columns, v), x, y), q, n);
            if (others != NULL) {
                if (v > 1) z = after(z, p.z, v - 1);
                sum = plus(sum, o, z);
            }
            if (v == 1) lowest = add(sum, handed_over(q, carry));
            else store(columns, v - 1, sum);
        }
        vector sum = plus_last(zeros(), x, after(y, p.y, vectors));
        if (others != NULL) sum = plus_last(sum, o, after(z, p.z, vectors));
        store(columns, vectors, sum);
    }
    /* A block more for b'; a' is where it belongs. */
    vector a = lowest;
    digits q = quotient(_mm512_maskz_mov_epi64(0xf0, lowest), &carry, p.n, p.inverse);
    window n = first_window(p.n, 0);
    for (size_t v = 1; v <= vectors; v++) {
        n = after(n, p.n, v);
        vector here = load(columns, v), sum = plus(v == 1 ? add(here, carry) : here, q, n);
        store(columns, v - 1, _mm512_mask_blend_epi64(0xf0, a, sum));
        a = here;
    }
}

/* The same with the columns in registers, for a number of vectors that the compiler knows. The quotient of the next
 * block is under way while the other columns of this one are reduced. */
INLINE void multiply_in_registers(parts p, const uint64_t *others, const size_t vectors) {
    vector c[LONG + 1], carry;
    digits x = row(p.rows, 0), o = x;
    window y = first_window(p.y, 0), z = first_window(p.z, 0), n;
    UNROLL for (size_t v = 0; v <= vectors; v++) {
        if (v > 0) y = after(y, p.y, v);
        c[v] = v == 0 ? plus_first(zeros(), x, y) : v < vectors ? plus(zeros(), x, y) : plus_last(zeros(), x, y);
    }
    digits q = quotient(c[0], &carry, p.n, p.inverse);
    _Pragma("GCC unroll 3") for (size_t t = 0; t < vectors; t++) {
        x = row(p.rows, t + 1);
        if (others != NULL) o = row(others, t + 1);
        y = first_window(p.y, 0), z = first_window(p.z, 0), n = first_window(p.n, 1);
        c[0] = plus_first(c[1], x, y);
        if (others != NULL) c[0] = plus_first(c[0], o, z);
        c[0] = add(plus(c[0], q, n), handed_over(q, carry));
        /* The last one is a block more for b' alone. */
        vector lowest = t + 1 < vectors ? c[0] : _mm512_maskz_mov_epi64(0xf0, c[0]);
        digits next = quotient(lowest, &carry, p.n, p.inverse);
        UNROLL for (size_t v = 2; v <= vectors; v++) {
            n = after(n, p.n, v), y = after(y, p.y, v - 1), z = after(z, p.z, v - 1);
            c[v - 1] = plus(c[v], x, y);
            if (others != NULL) c[v - 1] = plus(c[v - 1], o, z);
            c[v - 1] = v < vectors ? plus(c[v - 1], q, n) : plus_last(c[v - 1], q, n);
        }
        c[vectors] = plus_last(zeros(), x, after(y, p.y, vectors));
        if (others != NULL) c[vectors] = plus_last(c[vectors], o, after(z, p.z, vectors));
        q = next;
    }
    n = first_window(p.n, 0);
    vector a = c[0];
    UNROLL for (size_t v = 1; v <= vectors; v++) {
        n = after(n, p.n, v);
        store(p.columns, v - 1, _mm512_mask_blend_epi64(0xf0, a, plus(v == 1 ? add(c[1], carry) : c[v], q, n)));
        a = c[v];
    }
}

INLINE void multiply_and_reduce(parts p, const uint64_t *others, const size_t vectors) {
    if (vectors == SHORT || vectors == LONG) multiply_in_registers(p, others, vectors);
    else multiply_in_memory(p, others, vectors);
}

/* ---- carries ------------------------------------------------------------------------------------------- */

/* Which digits of one number, bits 0 and 2 of every byte, receive a carry; `into` the lowest. The bits between them are
 * ones, which pass a carry on. */
INLINE uint64_t carried(uint64_t generate, uint64_t pass, uint64_t *into) {
    const uint64_t number = UINT64_C(0x0505050505050505);
    uint64_t sum, ones = (pass & number) | ~number;
    uint64_t over = __builtin_add_overflow(ones, (generate & number) << 1, &sum);
    over |= __builtin_add_overflow(sum, *into, &sum);
    *into = over;
    return (sum ^ ones) & number;
}

/* z = the columns as digits, those of b' only for `both`; the values are known to fit. */
INLINE void normalise(uint64_t *z, uint64_t *columns, size_t vectors, const int both) {
    vector before = zeros();
    uint64_t into[4] = {0, 0, 0, 0};
    for (size_t from = 0; from < vectors; from += 8) {
        size_t here = vectors - from < 8 ? vectors - from : 8;
        uint64_t generate = 0, pass = 0, carries = 0;
        for (size_t v = 0; v < here; v++) {
            vector sum = load(columns, from + v), up = _mm512_srli_epi64(sum, 52);
            sum = add(_mm512_and_si512(sum, digit_mask()), one_up(up, before));
            before = up;
            generate |= (uint64_t)_mm512_cmpgt_epu64_mask(sum, digit_mask()) << WORDS * v;
            pass |= (uint64_t)_mm512_cmpeq_epu64_mask(sum, digit_mask()) << WORDS * v;
            store(columns, from + v, sum);
        }
        carries |= carried(generate, pass, &into[0]);
        carries |= carried(generate >> 1, pass >> 1, &into[1]) << 1;
        carries |= carried(generate >> 4, pass >> 4, &into[2]) << 4;
        carries |= carried(generate >> 5, pass >> 5, &into[3]) << 5;
        for (size_t v = 0; v < here; v++) {
            vector sum = load(columns, from + v);
            sum = _mm512_mask_add_epi64(sum, (__mmask8)(carries >> WORDS * v), sum, _mm512_set1_epi64(1));
            sum = _mm512_and_si512(sum, digit_mask());
            _mm256_storeu_si256((__m256i *)(z + (from + v) * HALF), _mm512_castsi512_si256(sum));
            if (both) _mm256_storeu_si256((__m256i *)(z + (vectors + from + v) * HALF), _mm512_extracti64x4_epi64(sum, 1));
        }
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

INLINE void multiply_of(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch,
                        const size_t vectors) {
    parts p = parts_of(ring, scratch);
    copy_modulus(ring, p);
    copy(p.y, y, vectors);
    copy(p.z, y + vectors * HALF, vectors);
    lay_rows(p.rows, x, x + vectors * HALF, vectors);
    lay_rows(p.others, NULL, x, vectors);
    multiply_and_reduce(p, p.others, vectors);
    normalise(z, p.columns, vectors, 1);
}

INLINE void square_of(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch, const size_t vectors) {
    parts p = parts_of(ring, scratch);
    copy_modulus(ring, p);
    copy(p.y, x, vectors);
    lay_rows_of_square(p.rows, x, x + vectors * HALF, vectors);
    multiply_and_reduce(p, NULL, vectors);
    normalise(z, p.columns, vectors, 1);
}

static void multiply_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t vectors = ring->digits / BLOCK;
    if (vectors == SHORT) multiply_of(ring, z, x, y, scratch, SHORT);
    else if (vectors == LONG) multiply_of(ring, z, x, y, scratch, LONG);
    else multiply_of(ring, z, x, y, scratch, vectors);
}

static void square_pair(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t vectors = ring->digits / BLOCK;
    if (vectors == SHORT) square_of(ring, z, x, scratch, SHORT);
    else if (vectors == LONG) square_of(ring, z, x, scratch, LONG);
    else square_of(ring, z, x, scratch, vectors);
}

/* ---- single residues ----------------------------------------------------------------------------------- */

/* With a' alone, the lower half of a vector takes the first row of each block and the upper half the second one. Columns
 * are the sums of both halves. For every vector, and one more, what low halves of products are made with, and what high
 * ones are. */
INLINE void copy_for_rows_apart(uint64_t *copies, const uint64_t *x, size_t vectors) {
    vector before = zeros();
    for (size_t v = 0; v <= vectors; v++) {
        vector digits = v < vectors ? _mm512_broadcast_i64x4(digits_at(x, v)) : zeros(), moved = one_up(digits, before);
        store(copies, 2 * v, _mm512_mask_blend_epi64(0xf0, digits, moved));
        store(copies, 2 * v + 1, _mm512_mask_blend_epi64(0xf0, moved, before));
        before = digits;
    }
}

/* sum += a pair of rows, apart, times what belongs to vector v. */
INLINE vector plus_apart(vector sum, vector x, const uint64_t *copies, size_t v) {
    return high(low(sum, x, load(copies, 2 * v)), x, load(copies, 2 * v + 1));
}

/* Both halves become the sum of both. */
INLINE vector folded(vector x) { return add(x, _mm512_shuffle_i64x2(x, x, 0x4e)); }

/* The first digit in the lower half, the second one in the upper half, twice each. */
INLINE vector row_apart(const uint64_t *x, size_t t) {
    vector both = _mm512_castsi256_si512(digits_at(x, t));
    return _mm512_shuffle_i64x2(both, both, 0x50);
}

INLINE void single_of(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch,
                      const size_t vectors) {
    parts p = parts_of(ring, scratch);
    copy_modulus(ring, p);
    copy_for_rows_apart(p.y, y, vectors);
    copy_for_rows_apart(p.z, ring->n, vectors);
    vector carry, row = row_apart(x, 0);
    for (size_t v = 0; v <= vectors; v++) store(p.columns, v, plus_apart(zeros(), row, p.y, v));
    vector lowest = load(p.columns, 0);
    for (size_t t = 0; t < vectors; t++) {
        digits both = quotient(folded(lowest), &carry, p.n, p.inverse);
        vector q = _mm512_mask_blend_epi64(0xf0, both.first, both.second);
        row = t + 1 < vectors ? row_apart(x, t + 1) : zeros();
        lowest = plus_apart(load(p.columns, 1), row, p.y, 0);
        lowest = add(plus_apart(lowest, q, p.z, 1), _mm512_maskz_mov_epi64(0x0f, carry));
        for (size_t v = 2; v <= vectors; v++)
            store(p.columns, v - 1, plus_apart(plus_apart(load(p.columns, v), row, p.y, v - 1), q, p.z, v));
        store(p.columns, vectors, plus_apart(zeros(), row, p.y, vectors));
    }
    store(p.columns, 0, lowest);
    for (size_t v = 0; v < vectors; v++) store(p.columns, v, folded(load(p.columns, v)));
    normalise(z, p.columns, vectors, 0);
}

static void multiply_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t vectors = ring->digits / BLOCK;
    if (vectors == SHORT) single_of(ring, z, x, y, scratch, SHORT);
    else if (vectors == LONG) single_of(ring, z, x, y, scratch, LONG);
    else single_of(ring, z, x, y, scratch, vectors);
}

static void square_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    multiply_single(ring, z, x, x, scratch);
}

/* ---- tables -------------------------------------------------------------------------------------------- */

/* Every entry is read. An entry of single residues may end with half a vector. */
static void pick(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t digits, size_t entries) {
    size_t words = digits * LANES;
    vector wanted = _mm512_broadcast_i64x2(_mm_loadu_si128((const __m128i *)index));
    for (size_t e = 0; e < entries; e += TOGETHER) {
        vector masks[TOGETHER];
        UNROLL for (int f = 0; f < TOGETHER; f++)
            masks[f] = _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(wanted, _mm512_set1_epi64((long long)e + f)));
        for (size_t i = 0; i < words; i += WORDS) {
            __mmask8 live = words - i < WORDS ? 0x0f : 0xff;
            vector found = e == 0 ? zeros() : _mm512_maskz_loadu_epi64(live, z + i);
            UNROLL for (int f = 0; f < TOGETHER; f++) { /* found | (entry & mask) */
                vector entry = _mm512_maskz_loadu_epi64(live, table + (e + (size_t)f) * words + i);
                found = _mm512_ternarylogic_epi64(found, entry, masks[f], 0xf8);
            }
            _mm512_mask_storeu_epi64(z + i, live, found);
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
