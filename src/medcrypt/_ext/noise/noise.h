/*
 * Trials of integer noise from uniform words.
 *
 *   cell   y = #{ j : u >= t_j },                 u the upper 63 bits of the first word, its last bit the sign
 *   table  x = y
 *   cells  x = y 2^l + z,                          z the upper l bits of the second word, f = z / 2^l
 *   real   x = round(factor (y + f) / 2^point),    f all 64 bits of the second word
 *
 * Cells and reals are accepted with probability exp(-g), g = f (c_1 + f (c_2 + ...)) with coefficients of the
 * cell, or c_d = a_d + b_d y where they lie on lines, when the third word is below it; minus zero is a rejection for
 * cells, or zero would count twice.
 *
 * A trial that 64 bits cannot decide is reported as such, and the caller decides it in exact arithmetic:
 * u equals a threshold, the third word lies within NOISE_MARGIN of the probability, or a real lies within
 * NOISE_SPREAD / 2^point of a half. So the paths may round differently and yet agree on every trial.
 *
 * Everything that depends on the words is straight-line code: branches and addresses follow the shape. Where a register
 * is picked from by an index that depends on a word, it is by a permutation of registers, never by an address.
 */
#ifndef MEDCRYPT_NOISE_H
#define MEDCRYPT_NOISE_H

#include <stddef.h>
#include <stdint.h>

enum {
    NOISE_CELLS_MOST = 127,         /* thresholds: their search tree has at most seven levels */
    NOISE_DEGREE = 12,              /* of g, at most */
    NOISE_LINES = 2,                /* of coefficients, at most */
    NOISE_FIXED_ROWS = 2,           /* what a scan selects beside the coefficients: y, and the last t_j <= u */
    NOISE_ROWS = NOISE_FIXED_ROWS + NOISE_DEGREE,
    NOISE_TILE = 128,               /* trials at a time: their rows stay in the first cache */
    NOISE_SPREAD = 160,             /* bounds the rounding of a real, see `trials.h` */
};

/* exp(-g) in double is off by less than 2^-46 (`trials.h`); the margin is twice that. */
#define NOISE_MARGIN 0x1p-45

enum noise_kind { NOISE_TABLE, NOISE_CELLS, NOISE_REAL };
enum noise_verdict { NOISE_REJECTED, NOISE_ACCEPTED, NOISE_UNDECIDED };

/* Public: it depends on the distribution and on nothing drawn.
 *
 * A scan starts every row at `start` and, for each threshold that u reaches, flips the bits in `flips`: the row then
 * holds the value of the cell. A search goes down `tree` instead, from node 1 to 2 n or, where u reaches the threshold
 * of node n, to 2 n + 1; the node behind the last level, less 2^levels, is the cell. */
typedef struct {
    enum noise_kind kind;
    size_t cells;               /* thresholds */
    size_t rows;                /* NOISE_FIXED_ROWS + coefficients that a table has */
    int on_lines;               /* the coefficients are on lines, and no rows */
    double start_of_line[NOISE_LINES], slope_of_line[NOISE_LINES]; /* a_d, b_d; 0 where g has none */
    const uint64_t *thresholds; /* below 2^63, non-decreasing */
    const uint64_t *flips;      /* [cells][rows] */
    uint64_t start[NOISE_ROWS];
    unsigned levels;            /* of the tree: cells < 2^levels, and at least 4 */
    const uint64_t *tree;       /* [2^levels], none below node 1; nodes without a threshold have UINT64_MAX */
    const uint64_t *columns;    /* [rows][2^levels]: the value of a row in each cell */
    unsigned low_bits;          /* l: 1 to 52 */
    uint64_t factor;            /* below 2^57 */
    unsigned point;             /* 8 to 63 */
    double margin;              /* NOISE_MARGIN; tests widen it */
} noise_shape;

/* The upper half of a product. */
static inline uint64_t noise_high_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
#else
    const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const uint64_t middle = a1 * b0 + ((a0 * b0) >> 32), other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
#endif
}

/* Runs of words that trials need: one of as many words as trials for a table, three for the others. */
static inline size_t noise_runs(const noise_shape *shape) { return shape->kind == NOISE_TABLE ? 1 : 3; }

/* Trials from their runs of words, one run after another. */
typedef void noise_trials(
    const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values, uint8_t *verdicts);

noise_trials noise_portable, noise_avx2, noise_avx512;

/* The trials of a path ("portable", "avx2", "avx512"). */
noise_trials *noise_trials_of(const char *path);

/* Moves the accepted values to the front, in order, and returns how many they are. */
size_t noise_gather(int64_t *values, const uint8_t *verdicts, size_t trials);

/* How many trials are undecided. */
size_t noise_undecided(const uint8_t *verdicts, size_t trials);

/* Zeros that the compiler may not leave out. */
void noise_wipe(void *memory, size_t size);

/* Wipes the stack below the caller. */
void noise_burn_stack(void);

#endif
