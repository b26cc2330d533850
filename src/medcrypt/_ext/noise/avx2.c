/* Two registers of four trials. */
#include "noise.h"

#include <immintrin.h>

enum { LANES = 4, REGISTERS = 2 };

/* `count` is a constant wherever this is inlined, so that the rows live in registers. */
static inline __attribute__((always_inline)) void scan_rows(
    const noise_shape *shape, const uint64_t *u, uint64_t rows[NOISE_ROWS][NOISE_TILE], size_t base, size_t from,
    size_t count) {
    __m256i held[REGISTERS][4], word[REGISTERS];
    const uint64_t *flips = shape->flips + from;
    for (size_t k = 0; k < REGISTERS; k++) {
        word[k] = _mm256_loadu_si256((const __m256i *)(u + base + k * LANES));
        for (size_t r = 0; r < count; r++) held[k][r] = _mm256_set1_epi64x((long long)shape->start[from + r]);
    }
    for (size_t j = 0; j < shape->cells; j++, flips += shape->rows) {
        const __m256i threshold = _mm256_set1_epi64x((long long)shape->thresholds[j]);
        for (size_t k = 0; k < REGISTERS; k++) {
            /* Signed, which is the same below 2^63. */
            const __m256i missed = _mm256_cmpgt_epi64(threshold, word[k]);
            for (size_t r = 0; r < count; r++) {
                const __m256i flip = _mm256_set1_epi64x((long long)flips[r]);
                held[k][r] = _mm256_xor_si256(held[k][r], _mm256_andnot_si256(missed, flip));
            }
        }
    }
    for (size_t k = 0; k < REGISTERS; k++)
        for (size_t r = 0; r < count; r++)
            _mm256_storeu_si256((__m256i *)(rows[from + r] + base + k * LANES), held[k][r]);
}

static void scan(const noise_shape *shape, const uint64_t *u, uint64_t rows[NOISE_ROWS][NOISE_TILE]) {
    for (size_t base = 0; base < NOISE_TILE; base += LANES * REGISTERS) {
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

void noise_avx2(const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values, uint8_t *verdicts) {
    all_trials(shape, words, trials, values, verdicts);
}
