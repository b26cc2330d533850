/* Integers of 64 bits in groups of trials; the compiler makes of a group what its target has. */
#include "noise.h"

enum { GROUP = 4 };

/* Inlined with a constant `count`, so that the rows live in registers. */
static inline void scan_rows(const noise_shape *shape, const uint64_t *u, uint64_t rows[NOISE_ROWS][NOISE_TILE],
                             size_t base, size_t from, const size_t count) {
    uint64_t held[4][GROUP], word[GROUP];
    const uint64_t *flips = shape->flips + from;
    for (size_t k = 0; k < GROUP; k++) word[k] = u[base + k];
    for (size_t r = 0; r < count; r++)
        for (size_t k = 0; k < GROUP; k++) held[r][k] = shape->start[from + r];
    for (size_t j = 0; j < shape->cells; j++, flips += shape->rows) {
        const uint64_t threshold = shape->thresholds[j];
        uint64_t reached[GROUP];
        /* Both sides are below 2^63: the sign of the difference tells. */
        for (size_t k = 0; k < GROUP; k++) reached[k] = ((word[k] - threshold) >> 63) - 1;
        for (size_t r = 0; r < count; r++)
            for (size_t k = 0; k < GROUP; k++) held[r][k] ^= flips[r] & reached[k];
    }
    for (size_t r = 0; r < count; r++)
        for (size_t k = 0; k < GROUP; k++) rows[from + r][base + k] = held[r][k];
}

static void scan(const noise_shape *shape, const uint64_t *u, uint64_t rows[NOISE_ROWS][NOISE_TILE]) {
    for (size_t base = 0; base < NOISE_TILE; base += GROUP) {
        size_t from = 0;
        for (; from + 4 <= shape->rows; from += 4) scan_rows(shape, u, rows, base, from, 4);
        if (shape->rows - from == 3) scan_rows(shape, u, rows, base, from, 3);
        else if (shape->rows - from == 2) scan_rows(shape, u, rows, base, from, 2);
        else if (shape->rows - from == 1) scan_rows(shape, u, rows, base, from, 1);
    }
}

static inline double multiply_add(double a, double b, double c) { return a * b + c; }

static void high_products(uint64_t factor, const uint64_t *words, uint64_t *out) {
    for (size_t i = 0; i < NOISE_TILE; i++) out[i] = noise_high_product(factor, words[i]);
}

#include "trials.h"

void noise_portable(const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values,
                    uint8_t *verdicts) {
    all_trials(shape, words, trials, values, verdicts);
}
