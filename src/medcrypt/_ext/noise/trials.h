/*
 * The trials, for an instruction set whose file has defined
 *
 *   scan(shape, u, rows)     rows[r][i] = the value of row r in the cell of u[i], for a tile
 *
 * The loops below are plain C, which the compiler makes as wide as the flags of the file allow.
 *
 * How exact the decision is. Let v = 2^-53. The coefficients are rounded once and g <= 4 is a sum of positive and
 * negative terms of at most 8 in absolute sum, so g is off by less than 40 v after its products and sums (and
 * by 2^-52 times the slope, at most 4, where f drops the last bits of a real). With x = g / 8 <= 1/2 the
 * nested series q_k = 1 - (x / k) q_{k+1} ends at k = 14, 2^-14 / 14! < 2^-50 below the truth for the true x, and its
 * rounding e_k <= v + (x / k) (3 v + e_{k+1}) gives e_1 < 4 v on q_1 >= 0.6: 7 v relatively. Three squarings make that
 * 8 * 7 v + 7 v and 8 * 2^-50 / 0.6. In all below 2^-47 absolutely.
 *
 * A real: factor is off by 1/2 in y + f < 2^7, so by 2^6; the product drops less than 1 and f what lies behind its 64
 * bits, less than 1 of `factor` 2^-64. NOISE_SPREAD covers it on both sides.
 */
#include "noise.h"

#include <string.h>

typedef struct {
    uint64_t u[NOISE_TILE];
    uint64_t rows[NOISE_ROWS][NOISE_TILE];
    uint64_t magnitude[NOISE_TILE];
    uint64_t open[NOISE_TILE];   /* 1: undecided */
    uint64_t taken[NOISE_TILE];  /* 1: accepted, if not undecided */
} tile_state;

static inline double unit(uint64_t word) {
    uint64_t bits = (word >> 12) | UINT64_C(0x3FF0000000000000);
    double one_to_two;
    memcpy(&one_to_two, &bits, sizeof one_to_two);
    return one_to_two - 1.0;
}

static inline double real_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double exp_of_minus(double g) {
    const double x = g * 0.125;
    double q = 1.0;
    q = 1.0 - x * (1.0 / 14) * q;
    q = 1.0 - x * (1.0 / 13) * q;
    q = 1.0 - x * (1.0 / 12) * q;
    q = 1.0 - x * (1.0 / 11) * q;
    q = 1.0 - x * (1.0 / 10) * q;
    q = 1.0 - x * (1.0 / 9) * q;
    q = 1.0 - x * (1.0 / 8) * q;
    q = 1.0 - x * (1.0 / 7) * q;
    q = 1.0 - x * (1.0 / 6) * q;
    q = 1.0 - x * (1.0 / 5) * q;
    q = 1.0 - x * (1.0 / 4) * q;
    q = 1.0 - x * (1.0 / 3) * q;
    q = 1.0 - x * (1.0 / 2) * q;
    q = 1.0 - x * q;
    q *= q;
    q *= q;
    return q * q;
}

/* Whether the third word lies below exp(-g): `taken`, and `open` where that is too close to tell. */
static void accept(const noise_shape *shape, tile_state *tile, const double *f, const uint64_t *words) {
    const size_t degree = shape->rows - NOISE_FIXED_ROWS;
    double g[NOISE_TILE];
    for (size_t i = 0; i < NOISE_TILE; i++) g[i] = f[i] * real_of(tile->rows[shape->rows - 1][i]);
    for (size_t d = degree; d-- > 1;) {
        const uint64_t *row = tile->rows[NOISE_FIXED_ROWS + d - 1];
        for (size_t i = 0; i < NOISE_TILE; i++) g[i] = f[i] * (real_of(row[i]) + g[i]);
    }
    for (size_t i = 0; i < NOISE_TILE; i++) {
        const double p = exp_of_minus(g[i]), w = unit(words[i]);
        const uint64_t below = w + 0x1p-52 <= p - shape->margin, above = w >= p + shape->margin;
        tile->taken[i] = below;
        tile->open[i] |= 1 ^ (below | above);
    }
    noise_wipe(g, sizeof g);
}

static inline uint64_t high_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
#else
    const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const uint64_t middle = a1 * b0 + ((a0 * b0) >> 32), other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
#endif
}

static void place_in_cells(const noise_shape *shape, tile_state *tile, const uint64_t *first, const uint64_t *second) {
    const unsigned l = shape->low_bits;
    for (size_t i = 0; i < NOISE_TILE; i++) {
        const uint64_t x = (tile->rows[0][i] << l) + (second[i] >> (64 - l));
        const uint64_t minus_zero = (first[i] & 1) & (uint64_t)(x == 0);
        tile->magnitude[i] = x;
        tile->taken[i] &= 1 ^ minus_zero;
    }
}

static void place_real(const noise_shape *shape, tile_state *tile, const uint64_t *second) {
    const uint64_t unit_bits = (UINT64_C(1) << shape->point) - 1, half = UINT64_C(1) << (shape->point - 1);
    for (size_t i = 0; i < NOISE_TILE; i++) {
        const uint64_t scaled = shape->factor * tile->rows[0][i] + high_product(shape->factor, second[i]) + half;
        const uint64_t fraction = (scaled + NOISE_SPREAD) & unit_bits;
        tile->magnitude[i] = scaled >> shape->point;
        tile->open[i] |= (uint64_t)(fraction < 2 * NOISE_SPREAD);
    }
}

static void one_tile(const noise_shape *shape, tile_state *tile, const uint64_t *first, const uint64_t *second,
                     const uint64_t *third, int64_t *values, uint8_t *verdicts) {
    double f[NOISE_TILE];
    for (size_t i = 0; i < NOISE_TILE; i++) tile->u[i] = first[i] >> 1;
    scan(shape, tile->u, tile->rows);
    for (size_t i = 0; i < NOISE_TILE; i++) {
        tile->open[i] = tile->rows[1][i] == tile->u[i];
        tile->taken[i] = 1;
        tile->magnitude[i] = tile->rows[0][i];
    }
    if (shape->kind != NOISE_TABLE) {
        const uint64_t used = shape->kind == NOISE_REAL ? UINT64_MAX : UINT64_MAX << (64 - shape->low_bits);
        for (size_t i = 0; i < NOISE_TILE; i++) f[i] = unit(second[i] & used);
        accept(shape, tile, f, third);
        if (shape->kind == NOISE_CELLS) place_in_cells(shape, tile, first, second);
        else place_real(shape, tile, second);
        noise_wipe(f, sizeof f);
    }
    for (size_t i = 0; i < NOISE_TILE; i++) {
        const uint64_t minus = 0 - (first[i] & 1);
        values[i] = (int64_t)((tile->magnitude[i] ^ minus) - minus);
        verdicts[i] = (uint8_t)((tile->open[i] << 1) | (tile->taken[i] & (1 ^ tile->open[i])));
    }
}

/* Whole tiles where they lie; the last, cut one by way of a copy. */
static void all_trials(const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values,
                       uint8_t *verdicts) {
    tile_state tile;
    size_t i = 0;
    for (; i + NOISE_TILE <= trials; i += NOISE_TILE)
        one_tile(shape, &tile, words + i, words + trials + i, words + 2 * trials + i, values + i, verdicts + i);
    if (i < trials) {
        const size_t rest = trials - i, runs = shape->kind == NOISE_TABLE ? 1 : 3;
        uint64_t copy[3][NOISE_TILE] = {{0}};
        int64_t last[NOISE_TILE];
        uint8_t decided[NOISE_TILE];
        for (size_t run = 0; run < runs; run++) memcpy(copy[run], words + run * trials + i, rest * sizeof **copy);
        one_tile(shape, &tile, copy[0], copy[1], copy[2], last, decided);
        memcpy(values + i, last, rest * sizeof *last);
        memcpy(verdicts + i, decided, rest);
        noise_wipe(copy, sizeof copy);
        noise_wipe(last, sizeof last);
    }
    noise_wipe(&tile, sizeof tile);
}
