/* Four registers of eight trials. */
#include "noise.h"

#include <immintrin.h>

enum { LANES = 8, REGISTERS = 4 };

/* `count` is a constant wherever this is inlined, so that the rows live in registers. */
static inline __attribute__((always_inline)) void scan_rows(
    const noise_shape *shape, const uint64_t *u, uint64_t rows[NOISE_ROWS][NOISE_TILE], size_t base, size_t from,
    size_t count) {
    __m512i held[REGISTERS][4], word[REGISTERS];
    const uint64_t *flips = shape->flips + from;
    for (size_t k = 0; k < REGISTERS; k++) {
        word[k] = _mm512_loadu_si512(u + base + k * LANES);
        for (size_t r = 0; r < count; r++) held[k][r] = _mm512_set1_epi64((long long)shape->start[from + r]);
    }
    for (size_t j = 0; j < shape->cells; j++, flips += shape->rows) {
        const __m512i threshold = _mm512_set1_epi64((long long)shape->thresholds[j]);
        for (size_t k = 0; k < REGISTERS; k++) {
            const __mmask8 reached = _mm512_cmp_epu64_mask(word[k], threshold, _MM_CMPINT_NLT);
            for (size_t r = 0; r < count; r++) {
                const __m512i flip = _mm512_set1_epi64((long long)flips[r]);
                held[k][r] = _mm512_mask_xor_epi64(held[k][r], reached, held[k][r], flip);
            }
        }
    }
    for (size_t k = 0; k < REGISTERS; k++)
        for (size_t r = 0; r < count; r++) _mm512_storeu_si512(rows[from + r] + base + k * LANES, held[k][r]);
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

#include "trials.h"

void noise_avx512(const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values, uint8_t *verdicts) {
    all_trials(shape, words, trials, values, verdicts);
}
