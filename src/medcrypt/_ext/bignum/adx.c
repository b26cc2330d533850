/*
 * The kernel for processors with BMI2 and ADX: one value at a time, 64-bit digits, the same numbers as portable.c.
 *
 * Row by row: columns += x_i y B^i. Two carries are under way along a row, one in CF (ADCX), which adds the low half of
 * a product to the high half of the one before, and one in OF (ADOX), which adds that to the column. Compilers have no
 * such code of their own, hence the assembly; the instructions need no flags to build, and dispatch.c asks the processor.
 *
 * After the rows of x_i, and of u_i in a sum of two products, the row of q_i = -(column i) n^-1 mod B makes column i
 * vanish. What the rows of 0 to i have added up to is below B^(i + 1) (4 n + 4 n + n) < B^(i + 1 + k), so what they leave
 * beyond column i + k - 1 goes to column i + k, which nothing has touched yet, and fits.
 *
 * A square has rows of x_i (x_i, then the digits of twice what is above x_i), at column 2 i: each half as long as a
 * product's on the average, with nothing to be doubled afterwards.
 */
#include "bignum.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

typedef __int128 wide;

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* column += low(x y) + the high half before; h and g hold the high halves by turns. */
#define STEP(offset, before, after)                                                                               \
    "mulx " #offset "(%[y]), %[sum], %[" #after "]\n\t"                                                           \
    "adcx %[" #before "], %[sum]\n\t"                                                                            \
    "adox " #offset "(%[columns]), %[sum]\n\t"                                                                   \
    "mov %[sum], " #offset "(%[columns])\n\t"

#define STEPS_0
#define STEPS_1 STEP(0, h, g)
#define STEPS_2 STEPS_1 STEP(8, g, h)
#define STEPS_3 STEPS_2 STEP(16, h, g)
#define STEPS_4 STEPS_3 STEP(24, g, h)
#define STEPS_5 STEPS_4 STEP(32, h, g)
#define STEPS_6 STEPS_5 STEP(40, g, h)
#define STEPS_7 STEPS_6 STEP(48, h, g)
#define STEPS_8(h, g)                                                                                             \
    STEP(0, h, g) STEP(8, g, h) STEP(16, h, g) STEP(24, g, h) STEP(32, h, g) STEP(40, g, h) STEP(48, h, g) STEP(56, g, h)

/* LEA and JRCXZ leave the carries alone. */
#define FORWARD(bytes) "lea " #bytes "(%[y]), %[y]\n\tlea " #bytes "(%[columns]), %[columns]\n\t"

/* columns += x y + low for 8 eights + R digits y; returns what belongs to the next column. XOR clears both carries.
 * `last` is where the highest half is after R steps, and after any number of eights. */
#define ROW_OF(R, bytes, last, other)                                                                             \
    INLINE uint64_t row_##R(uint64_t *columns, const uint64_t *y, size_t eights, uint64_t x, uint64_t low) {      \
        uint64_t g, h = low, sum;                                                                                 \
        __asm__ volatile("xor %k[sum], %k[sum]\n\t" STEPS_##R FORWARD(bytes)                                      \
                         "jmp 3f\n"                                                                               \
                         "1:\n\t" STEPS_8(last, other) FORWARD(64)                                                \
                         "lea -1(%[eights]), %[eights]\n"                                                         \
                         "3:\n\t"                                                                                \
                         "jrcxz 2f\n\t"                                                                          \
                         "jmp 1b\n"                                                                               \
                         "2:\n\t"                                                                                \
                         "mov $0, %k[sum]\n\t"                                                                   \
                         "adcx %[sum], %[" #last "]\n\t"                                                         \
                         "adox %[sum], %[" #last "]\n\t"                                                         \
                         : [g] "=&r"(g), [h] "+&r"(h), [sum] "=&r"(sum), [y] "+&r"(y), [columns] "+&r"(columns),  \
                           [eights] "+&c"(eights)                                                                 \
                         : "d"(x)                                                                                 \
                         : "cc", "memory");                                                                       \
        return last;                                                                                              \
    }

ROW_OF(0, 0, h, g)
ROW_OF(1, 8, g, h)
ROW_OF(2, 16, h, g)
ROW_OF(3, 24, g, h)
ROW_OF(4, 32, h, g)
ROW_OF(5, 40, g, h)
ROW_OF(6, 48, h, g)
ROW_OF(7, 56, g, h)

/* columns = (columns + 1) + x y + u v + q n, of which the lower half vanishes; less 1 in the upper half: see bignum.h on
 * the second half of a pair. Without u, or without x and u, the products that are left; these sums have neither 1. Only
 * where there is no product is the upper half read before. k = 8 eights + R. */
#define SUMS_OF(R)                                                                                                \
    INLINE void sums_##R(const bn_ring *ring, uint64_t *columns, uint64_t *q, int64_t one, const uint64_t *x,     \
                         const uint64_t *y, const uint64_t *u, const uint64_t *v, int products) {                 \
        const uint64_t *n = ring->n, inverse = ring->inverse[0];                                                  \
        size_t k = ring->digits, eights = k / 8;                                                                  \
        int64_t carry = -one;                                                                                     \
        for (size_t i = 0; i < k; i++) {                                                                          \
            wide above = carry;                                                                                   \
            if (products == 0) above += columns[i + k];                                                           \
            if (products > 0) above += row_##R(columns + i, y, eights, x[i], (uint64_t)one);                      \
            if (products > 1) above += row_##R(columns + i, v, eights, u[i], 0);                                  \
            q[i] = columns[i] * inverse;                                                                          \
            above += row_##R(columns + i, n, eights, q[i], 0);                                                    \
            columns[i + k] = (uint64_t)above;                                                                     \
            carry = (int64_t)(above >> 64);                                                                       \
            one = 0;                                                                                              \
        }                                                                                                         \
    }                                                                                                             \
    NOINLINE void reduce_##R(const bn_ring *ring, uint64_t *columns, uint64_t *q) {                               \
        sums_##R(ring, columns, q, 0, NULL, NULL, NULL, NULL, 0);                                                 \
    }                                                                                                             \
    NOINLINE void product_##R(const bn_ring *ring, uint64_t *columns, uint64_t *q, int64_t one,                   \
                              const uint64_t *x, const uint64_t *y) {                                             \
        sums_##R(ring, columns, q, one, x, y, NULL, NULL, 1);                                                     \
    }                                                                                                             \
    NOINLINE void products_##R(const bn_ring *ring, uint64_t *columns, uint64_t *q, const uint64_t *x,            \
                               const uint64_t *y, const uint64_t *u, const uint64_t *v) {                         \
        sums_##R(ring, columns, q, 1, x, y, u, v, 2);                                                             \
    }

SUMS_OF(0)
SUMS_OF(1)
SUMS_OF(2)
SUMS_OF(3)
SUMS_OF(4)
SUMS_OF(5)
SUMS_OF(6)
SUMS_OF(7)

#define OF_LENGTH(function, ...)                                                                                  \
    switch (ring->digits % 8) {                                                                                   \
    case 0: function##_0(ring, __VA_ARGS__); break;                                                               \
    case 1: function##_1(ring, __VA_ARGS__); break;                                                               \
    case 2: function##_2(ring, __VA_ARGS__); break;                                                               \
    case 3: function##_3(ring, __VA_ARGS__); break;                                                               \
    case 4: function##_4(ring, __VA_ARGS__); break;                                                               \
    case 5: function##_5(ring, __VA_ARGS__); break;                                                               \
    case 6: function##_6(ring, __VA_ARGS__); break;                                                               \
    default: function##_7(ring, __VA_ARGS__); break;                                                              \
    }

/* Row i of a square; the bit of x_i that 2 x has in the digit above belongs to x_i. */
#define SQUARE_ROW(R)                                                                                             \
    case R:                                                                                                       \
        columns[i + k] = row_##R(columns + 2 * i, above + i, (k - i) / 8, x[i], 0);                               \
        break;

/* columns = x^2; `twice` is 2 x and a digit of zero, `above` a copy of it. */
static void square_columns(uint64_t *columns, const uint64_t *x, const uint64_t *twice, uint64_t *above, size_t k) {
    memset(columns, 0, k * sizeof *columns);
    for (size_t i = 0; i < k; i++) {
        above[i] = x[i];
        above[i + 1] = twice[i + 1] & ~UINT64_C(1);
        switch ((k - i) % 8) {
            SQUARE_ROW(0)
            SQUARE_ROW(1)
            SQUARE_ROW(2)
            SQUARE_ROW(3)
            SQUARE_ROW(4)
            SQUARE_ROW(5)
            SQUARE_ROW(6)
            SQUARE_ROW(7)
        }
        above[i + 1] = twice[i + 1];
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* R - 1 - q. */
INLINE void complement(uint64_t *columns, const uint64_t *q, size_t k) {
    for (size_t i = 0; i < k; i++) columns[i] = ~q[i];
}

/* twice = 2 x < 8 n < R, and a digit of zero; and the same again. */
INLINE void double_digits(uint64_t *twice, uint64_t *again, const uint64_t *x, size_t k) {
    uint64_t top = 0;
    for (size_t i = 0; i < k; i++) {
        twice[i] = again[i] = x[i] << 1 | top;
        top = x[i] >> 63;
    }
    twice[k] = again[k] = 0;
}

static void multiply_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *columns = q + k;
    memset(columns, 0, k * sizeof *columns);
    OF_LENGTH(product, columns, q, 0, x, y)
    memcpy(z, columns + k, k * sizeof *z);
}

static void multiply_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *first = q + k, *second = first + 2 * k;
    memset(first, 0, k * sizeof *first);
    OF_LENGTH(product, first, q, 0, x, y)
    complement(second, q, k);
    OF_LENGTH(products, second, q, x, y + k, x + k, y)
    memcpy(z, first + k, k * sizeof *z);
    memcpy(z + k, second + k, k * sizeof *z);
}

static void square_single(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *columns = q + k, *twice = columns + 2 * k, *above = twice + k + 1;
    double_digits(twice, above, x, k);
    square_columns(columns, x, twice, above, k);
    OF_LENGTH(reduce, columns, q)
    memcpy(z, columns + k, k * sizeof *z);
}

static void square_pair(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch) {
    size_t k = ring->digits;
    uint64_t *q = scratch, *first = q + k, *second = first + 2 * k, *twice = second + 2 * k, *above = twice + k + 1;
    double_digits(twice, above, x, k);
    square_columns(first, x, twice, above, k);
    OF_LENGTH(reduce, first, q)
    complement(second, q, k);
    OF_LENGTH(product, second, q, 1, twice, x + k)
    memcpy(z, first + k, k * sizeof *z);
    memcpy(z + k, second + k, k * sizeof *z);
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
