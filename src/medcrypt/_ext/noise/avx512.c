/* Four registers of eight trials. Thresholds and values are picked from registers by permutations, which take as long for
 * one index as for another. */
#include "noise.h"

#include <immintrin.h>

enum { LANES = 8, REGISTERS = 4, BLOCK = 2 * LANES };

/* Entries of `table` at indices below 16 `blocks`, a constant loop for each block: two registers make one. */
static inline void entries(const uint64_t *table, size_t blocks, const __m512i *index, __m512i *found) {
    for (size_t b = 0; b < blocks; b++) {
        const __m512i low = _mm512_loadu_si512(table + b * BLOCK), high = _mm512_loadu_si512(table + b * BLOCK + LANES);
        const __m512i first = _mm512_set1_epi64((long long)(b * BLOCK));
        for (size_t k = 0; k < REGISTERS; k++) {
            const __m512i here = _mm512_permutex2var_epi64(low, index[k], high);
            found[k] = b == 0 ? here : _mm512_mask_mov_epi64(found[k], _mm512_cmpge_epu64_mask(index[k], first), here);
        }
    }
}

/* Thresholds of the nodes of a level; those of the first four levels fill one register or two. */
static inline void thresholds_at(const noise_shape *shape, unsigned level, const __m512i *node, __m512i *found) {
    if (level < 4) {
        const __m512i nodes = _mm512_loadu_si512(shape->tree + (level == 3 ? LANES : 0));
        for (size_t k = 0; k < REGISTERS; k++) found[k] = _mm512_permutexvar_epi64(node[k], nodes);
        return;
    }
    const size_t width = (size_t)1 << level, used = shape->cells >> (shape->levels - level);
    __m512i index[REGISTERS];
    for (size_t k = 0; k < REGISTERS; k++)
        index[k] = _mm512_sub_epi64(node[k], _mm512_set1_epi64((long long)width));
    entries(shape->tree + width, used / BLOCK + 1, index, found);
}

static void scan(const noise_shape *shape, const uint64_t *u, uint64_t rows[NOISE_ROWS][NOISE_TILE]) {
    const size_t width = (size_t)1 << shape->levels, blocks = shape->cells / BLOCK + 1;
    for (size_t base = 0; base < NOISE_TILE; base += LANES * REGISTERS) {
        __m512i word[REGISTERS], node[REGISTERS], last[REGISTERS], found[REGISTERS];
        for (size_t k = 0; k < REGISTERS; k++) {
            word[k] = _mm512_loadu_si512(u + base + k * LANES);
            node[k] = _mm512_set1_epi64(1);
            last[k] = _mm512_set1_epi64((long long)shape->start[1]);
        }
        for (unsigned level = 0; level < shape->levels; level++) {
            thresholds_at(shape, level, node, found);
            for (size_t k = 0; k < REGISTERS; k++) {
                const __mmask8 reached = _mm512_cmpge_epu64_mask(word[k], found[k]);
                /* The last threshold that u reaches is the last that a search finds reached. */
                last[k] = _mm512_mask_mov_epi64(last[k], reached, found[k]);
                node[k] = _mm512_add_epi64(node[k], node[k]);
                node[k] = _mm512_mask_add_epi64(node[k], reached, node[k], _mm512_set1_epi64(1));
            }
        }
        for (size_t k = 0; k < REGISTERS; k++) {
            node[k] = _mm512_sub_epi64(node[k], _mm512_set1_epi64((long long)width));
            _mm512_storeu_si512(rows[0] + base + k * LANES, node[k]);
            _mm512_storeu_si512(rows[1] + base + k * LANES, last[k]);
        }
        for (size_t r = NOISE_FIXED_ROWS; r < shape->rows; r++) {
            entries(shape->columns + r * width, blocks, node, found);
            for (size_t k = 0; k < REGISTERS; k++) _mm512_storeu_si512(rows[r] + base + k * LANES, found[k]);
        }
    }
}

static inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }

/* Products of halves of 32 bits. */
static void high_products(uint64_t factor, const uint64_t *words, uint64_t *out) {
    const __m512i a0 = _mm512_set1_epi64((long long)(factor & UINT32_MAX)), a1 = _mm512_set1_epi64((long long)(factor >> 32));
    const __m512i low = _mm512_set1_epi64(UINT32_MAX);
    for (size_t i = 0; i < NOISE_TILE; i += LANES) {
        const __m512i b0 = _mm512_loadu_si512(words + i), b1 = _mm512_srli_epi64(b0, 32);
        const __m512i middle = _mm512_add_epi64(_mm512_mul_epu32(a1, b0), _mm512_srli_epi64(_mm512_mul_epu32(a0, b0), 32));
        const __m512i other = _mm512_add_epi64(_mm512_mul_epu32(a0, b1), _mm512_and_si512(middle, low));
        const __m512i high = _mm512_add_epi64(_mm512_srli_epi64(middle, 32), _mm512_srli_epi64(other, 32));
        _mm512_storeu_si512(out + i, _mm512_add_epi64(_mm512_mul_epu32(a1, b1), high));
    }
}

#include "trials.h"

void noise_avx512(const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values, uint8_t *verdicts) {
    all_trials(shape, words, trials, values, verdicts);
}
