/*
 * The kernel for processors with BMI2 and ADX: one value at a time, 64-bit digits, the same numbers as portable.c.
 *
 * Work is cut into blocks of R <= 7 rows, x_0 to x_(R-1) times all of y. While y_j is multiplied in, the R words
 * a_0 to a_(R-1) carry what does not yet belong to column j:
 *
 *   a + x y_j + column_j  <=  (B^R - 1) + (B^R - 1)(B - 1) + (B - 1)  =  B^(R+1) - 1,
 *
 * so R + 1 words hold it; the lowest is the new column j, the others the next a. A row of products has two carries
 * under way, one in CF (ADCX) for the low halves and one in OF (ADOX) for the high ones. Compilers have no such
 * code of their own, hence the assembly; the instructions need no flags to build, and dispatch.c asks the processor.
 *
 * A quotient's block is the same with x = n_0 ... n_(R-1) and y_j = q_j = -(a_0 + column_j) n^-1 mod B, after
 * which column j has vanished; q times the other digits of n goes on from the a that it leaves.
 */
#include "bignum.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { ROWS = 7 };

typedef unsigned __int128 wide;

/* ---- blocks of rows ------------------------------------------------------------------------------------ */

/* The lowest row, whose sum is column j; then a_(i-1) = low(x_i y_j) + a_i + high(x_(i-1) y_j), with both carries. The
 * high halves wait in h and g by turns. */
#define FIRST                                                                                                     \
    "mulx (%[x]), %[g], %[h]\n\t"                                                                                 \
    "adcx %[a0], %[g]\n\t"                                                                                        \
    "adox (%[column],%[j],8), %[g]\n\t"                                                                           \
    "mov %[g], (%[column],%[j],8)\n\t"
#define ROW(offset, to, from, before, after)                                                                      \
    "mulx " #offset "(%[x]), %[" #to "], %[" #after "]\n\t"                                                       \
    "adcx %[" #from "], %[" #to "]\n\t"                                                                           \
    "adox %[" #before "], %[" #to "]\n\t"

/* The highest row leaves its high half, and both carries, in the highest word. */
#define LAST(offset, to, top, before, after)                                                                      \
    "mov %[" #top "], %[" #after "]\n\t"                                                                          \
    "mulx " #offset "(%[x]), %[" #to "], %[" #top "]\n\t"                                                         \
    "adcx %[" #after "], %[" #to "]\n\t"                                                                          \
    "adox %[" #before "], %[" #to "]\n\t"                                                                         \
    "mov $0, %k[" #after "]\n\t"                                                                                  \
    "adcx %[" #after "], %[" #top "]\n\t"                                                                         \
    "adox %[" #after "], %[" #top "]\n\t"

#define UP_TO_2 FIRST
#define UP_TO_3 UP_TO_2 ROW(8, a0, a1, h, g)
#define UP_TO_4 UP_TO_3 ROW(16, a1, a2, g, h)
#define UP_TO_5 UP_TO_4 ROW(24, a2, a3, h, g)
#define UP_TO_6 UP_TO_5 ROW(32, a3, a4, g, h)
#define UP_TO_7 UP_TO_6 ROW(40, a4, a5, h, g)
#define ROWS_1                                                                                                    \
    FIRST "mov $0, %k[a0]\n\t"                                                                                    \
          "adcx %[h], %[a0]\n\t"                                                                                  \
          "mov $0, %k[h]\n\t"                                                                                     \
          "adox %[h], %[a0]\n\t"
#define ROWS_2 UP_TO_2 LAST(8, a0, a1, h, g)
#define ROWS_3 UP_TO_3 LAST(16, a1, a2, g, h)
#define ROWS_4 UP_TO_4 LAST(24, a2, a3, h, g)
#define ROWS_5 UP_TO_5 LAST(32, a3, a4, g, h)
#define ROWS_6 UP_TO_6 LAST(40, a4, a5, h, g)
#define ROWS_7 UP_TO_7 LAST(48, a5, a6, g, h)

/* For j from a negative start to -1. Both carries are clear at the start of every round: TEST clears them, and so
 * does the ADD that counts, until j is 0. */
#define ROWS_LOOP(rows)                                                                                           \
    "test %[j], %[j]\n\t"                                                                                         \
    "jz 2f\n"                                                                                                     \
    "1:\n\t"                                                                                                      \
    "mov (%[y],%[j],8), %%rdx\n\t" rows "add $1, %[j]\n\t"                                                        \
    "jnz 1b\n"                                                                                                    \
    "2:\n\t"

#define QUOTIENT_LOOP(rows)                                                                                       \
    "3:\n\t"                                                                                                      \
    "mov (%[column],%[j],8), %%rdx\n\t"                                                                           \
    "add %[a0], %%rdx\n\t"                                                                                        \
    "imul %[inverse], %%rdx\n\t"                                                                                  \
    "mov %%rdx, (%[y],%[j],8)\n\t"                                                                                \
    "test %%rdx, %%rdx\n\t" rows "add $1, %[j]\n\t"                                                               \
    "jnz 3b\n\t"

/* From the lowest R digits of n on to the others: x = q, y = the end of n, and the columns move along. */
#define GO_ON(bytes)                                                                                              \
    "lea -" #bytes "(%[y]), %[x]\n\t"                                                                             \
    "mov %[end], %[y]\n\t"                                                                                        \
    "mov %[others], %[j]\n\t"                                                                                     \
    "lea (,%[j],8), %%rdx\n\t"                                                                                    \
    "sub %%rdx, %[column]\n\t"

/* column_0 ... += a_0 ... and CF, where `column` has arrived at what no row has touched; the carry goes to j. */
#define ADD_1 "adc %[a0], (%[column])\n\t"
#define ADD_2 ADD_1 "adc %[a1], 8(%[column])\n\t"
#define ADD_3 ADD_2 "adc %[a2], 16(%[column])\n\t"
#define ADD_4 ADD_3 "adc %[a3], 24(%[column])\n\t"
#define ADD_5 ADD_4 "adc %[a4], 32(%[column])\n\t"
#define ADD_6 ADD_5 "adc %[a5], 40(%[column])\n\t"
#define ADD_7 ADD_6 "adc %[a6], 48(%[column])\n\t"

#define WORDS_1 [a0] "+&r"(a0)
#define WORDS_2 WORDS_1, [a1] "+&r"(a1)
#define WORDS_3 WORDS_2, [a2] "+&r"(a2)
#define WORDS_4 WORDS_3, [a3] "+&r"(a3)
#define WORDS_5 WORDS_4, [a4] "+&r"(a4)
#define WORDS_6 WORDS_5, [a5] "+&r"(a5)
#define WORDS_7 WORDS_6, [a6] "+&r"(a6)
#define ZEROS_1 g, h
#define ZEROS_2 ZEROS_1, a1 = 0
#define ZEROS_3 ZEROS_2, a2 = 0
#define ZEROS_4 ZEROS_3, a3 = 0
#define ZEROS_5 ZEROS_4, a4 = 0
#define ZEROS_6 ZEROS_5, a5 = 0
#define ZEROS_7 ZEROS_6, a6 = 0

/* rows_R: columns += a0 + x y for R digits x and `count` digits y; returns the carry beyond count + R columns.
 * reduce_R: R quotient digits of the lowest columns, which vanish; columns += q n and `carry`, the last block's, at
 * column k; returns the carry beyond k + R columns. */
#define BLOCK_OF(R, bytes)                                                                                        \
    static uint64_t rows_##R(uint64_t *columns, const uint64_t *x, const uint64_t *y, size_t count, uint64_t a0) { \
        uint64_t ZEROS_##R;                                                                                       \
        intptr_t j = -(intptr_t)count;                                                                            \
        __asm__ volatile(ROWS_LOOP(ROWS_##R) "test %[j], %[j]\n\t" ADD_##R "sbb %[j], %[j]\n\t"                  \
                         : WORDS_##R, [g] "=&r"(g), [h] "=&r"(h), [j] "+&r"(j)                                    \
                         : [x] "r"(x), [y] "r"(y + count), [column] "r"(columns + count)                          \
                         : "rdx", "cc", "memory");                                                                \
        return (uint64_t)-j;                                                                                      \
    }                                                                                                             \
    static uint64_t reduce_##R(uint64_t *columns, uint64_t *q, const uint64_t *n, size_t k, uint64_t inverse,     \
                               uint64_t carry) {                                                                  \
        uint64_t a0 = 0, ZEROS_##R, *y = q + R, *column = columns + R;                                            \
        const uint64_t *x = n, *end = n + k;                                                                      \
        intptr_t j = -(intptr_t)R, others = (intptr_t)R - (intptr_t)k;                                            \
        __asm__ volatile(QUOTIENT_LOOP(ROWS_##R) GO_ON(bytes) ROWS_LOOP(ROWS_##R) "xor %k[j], %k[j]\n\t"           \
                         "cmp %[carry], %[j]\n\t" ADD_##R "sbb %[j], %[j]\n\t"                                    \
                         : WORDS_##R, [g] "=&r"(g), [h] "=&r"(h), [j] "+&r"(j), [x] "+&r"(x), [y] "+&r"(y),       \
                           [column] "+&r"(column)                                                                 \
                         : [inverse] "m"(inverse), [end] "m"(end), [others] "m"(others), [carry] "m"(carry)       \
                         : "rdx", "cc", "memory");                                                                \
        return (uint64_t)-j;                                                                                      \
    }

BLOCK_OF(1, 8)
BLOCK_OF(2, 16)
BLOCK_OF(3, 24)
BLOCK_OF(4, 32)
BLOCK_OF(5, 40)
BLOCK_OF(6, 48)
BLOCK_OF(7, 56)

/* The lengths of blocks are public: they follow from the modulus's. */
static uint64_t rows(size_t size, uint64_t *columns, const uint64_t *x, const uint64_t *y, size_t count, uint64_t a0) {
    switch (size) {
    case 1: return rows_1(columns, x, y, count, a0);
    case 2: return rows_2(columns, x, y, count, a0);
    case 3: return rows_3(columns, x, y, count, a0);
    case 4: return rows_4(columns, x, y, count, a0);
    case 5: return rows_5(columns, x, y, count, a0);
    case 6: return rows_6(columns, x, y, count, a0);
    default: return rows_7(columns, x, y, count, a0);
    }
}

static uint64_t reduce_block(const bn_ring *ring, uint64_t *columns, size_t size, uint64_t *q, uint64_t carry) {
    const uint64_t *n = ring->n, inverse = ring->inverse[0];
    size_t k = ring->digits;
    switch (size) {
    case 1: return reduce_1(columns, q, n, k, inverse, carry);
    case 2: return reduce_2(columns, q, n, k, inverse, carry);
    case 3: return reduce_3(columns, q, n, k, inverse, carry);
    case 4: return reduce_4(columns, q, n, k, inverse, carry);
    case 5: return reduce_5(columns, q, n, k, inverse, carry);
    case 6: return reduce_6(columns, q, n, k, inverse, carry);
    default: return reduce_7(columns, q, n, k, inverse, carry);
    }
}

/* Length of the block at digit `from`: as equal as blocks of at most ROWS digits can be. */
INLINE size_t block_at(size_t k, size_t from) {
    size_t blocks = (k - from + ROWS - 1) / ROWS;
    return (k - from + blocks - 1) / blocks;
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* columns = x y + q n, whose lower half is zero. */
INLINE void first_half(const bn_ring *ring, uint64_t *columns, uint64_t *q, const uint64_t *x, const uint64_t *y) {
    size_t k = ring->digits;
    memset(columns, 0, 2 * k * sizeof *columns);
    for (size_t i = 0, size; i < k; i += size) {
        size = block_at(k, i);
        rows(size, columns + i, x + i, y, k, 0);
        reduce_block(ring, columns + i, size, q + i, 0); /* below B^(k + i + size) so far: no carry */
    }
}

/* columns = x^2: the products of different blocks twice, those within a block once. */
INLINE void square_columns(uint64_t *columns, const uint64_t *x, size_t k) {
    memset(columns, 0, 2 * k * sizeof *columns);
    for (size_t i = 0, size; i < k; i += size) {
        size = block_at(k, i);
        rows(size, columns + 2 * i + size, x + i, x + i + size, k - i - size, 0);
    }
    uint64_t top = 0, carry = 0;
    for (size_t i = 0; i < 2 * k; i++) {
        uint64_t word = columns[i];
        columns[i] = word << 1 | top;
        top = word >> 63;
    }
    for (size_t i = 0, size; i < k; i += size) {
        size = block_at(k, i);
        carry = rows(size, columns + 2 * i, x + i, x + i, size, carry);
    }
}

/* columns += q n for 2 k columns that are complete, so that the lower half vanishes. */
INLINE void reduce(const bn_ring *ring, uint64_t *columns, uint64_t *q) {
    uint64_t carry = 0;
    for (size_t i = 0, size; i < ring->digits; i += size) {
        size = block_at(ring->digits, i);
        carry = reduce_block(ring, columns + i, size, q + i, carry);
    }
}

/* columns = R - q, below B^k + 1: the complement, and 1. */
INLINE void complement(uint64_t *columns, const uint64_t *q, size_t k) {
    uint64_t one = 1;
    for (size_t i = 0; i < k; i++) {
        wide s = (wide)~q[i] + one;
        columns[i] = (uint64_t)s;
        one = (uint64_t)(s >> 64);
    }
    memset(columns + k, 0, k * sizeof *columns);
    columns[k] = one;
}

/* z = columns less 1, which is what R added. */
INLINE void take_one_off(uint64_t *z, const uint64_t *columns, size_t k) {
    uint64_t borrow = 1;
    for (size_t i = 0; i < k; i++) {
        uint64_t word = columns[i];
        z[i] = word - borrow;
        borrow = word < borrow;
    }
}

static void multiply_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *q2 = q + k, *first = q2 + k, *second = first + 2 * k;
    first_half(ring, first, q, x, y);
    complement(second, q, k);
    for (size_t i = 0, size; i < k; i += size) {
        size = block_at(k, i);
        rows(size, second + i, x + i, y + k, k, 0);
        rows(size, second + i, x + k + i, y, k, 0);
        reduce_block(ring, second + i, size, q2 + i, 0);
    }
    memcpy(z, first + k, k * sizeof *z);
    take_one_off(z + k, second + k, k);
}

static void square_pair(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *q2 = q + k, *first = q2 + k, *second = first + 2 * k, *twice = second + 2 * k, top = 0;
    for (size_t i = 0; i < k; i++) { /* 2 a < 8 n < R */
        twice[i] = x[i] << 1 | top;
        top = x[i] >> 63;
    }
    square_columns(first, x, k);
    reduce(ring, first, q);
    complement(second, q, k);
    for (size_t i = 0, size; i < k; i += size) {
        size = block_at(k, i);
        rows(size, second + i, twice + i, x + k, k, 0);
        reduce_block(ring, second + i, size, q2 + i, 0);
    }
    memcpy(z, first + k, k * sizeof *z);
    take_one_off(z + k, second + k, k);
}

static void multiply_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *columns = q + k;
    first_half(ring, columns, q, x, y);
    memcpy(z, columns + k, k * sizeof *z);
}

static void square_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *columns = q + k;
    square_columns(columns, x, k);
    reduce(ring, columns, q);
    memcpy(z, columns + k, k * sizeof *z);
}

const bn_kernels bn_adx = {
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

#endif
