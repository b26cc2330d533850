/*
 * The trials, for an instruction set whose file has defined
 *
 *   scan(shape, u, rows)                  rows[r][i] = the value of row r in the cell of u[i], for a tile
 *   multiply_add(a, b, c)                 a b + c, rounded once or twice
 *   high_products(factor, words, out)     the upper 64 bits of the products with factor < 2^57, for a tile
 *
 * The loops below are plain C, which the compiler makes as wide as the flags of the file allow.
 *
 * How exact the decision is. Let v = 2^-53, and leave out what is of the order of v^2. A shape has sum d |c_d| <= 4, so
 * that g <= 4.
 *
 * g: a coefficient is off by 3 v relatively (a line: its slope, the product and the sum), and by Horner's rule the two
 * roundings of the d-th step are relative to partial sums, of which c_d takes part in d: together 12 v + 2 v * 4. Where
 * f drops the last bits of a real, by less than 2 v, g moves by at most four times that. In all 28 v.
 *
 * exp: x = g / 8 <= 1/2 is exact, p_14 = 1/14! and p_k = 1/k! - x p_{k+1} lies between 0 and 1/k!. A step is off by
 *   e_k <= e_{k+1} / 2 + v / (2 (k+1)!) + v / k! + (v / k! for the coefficient, if k > 2),
 * with one rounding less where multiplication and addition are fused, so that e_4 < v/4, e_3 < v/2, e_2 < v,
 * e_1 < 1.8 v and e_0 < 2.4 v; the terms left out are below 2^-15 / 15! < v/2. Of p_0 >= 0.6 this is 5 v relatively,
 * three squarings make it 8 * 5 v + 7 v = 47 v.
 *
 * Together 75 v; a law whose coefficients are interpolated may add 8 v. Less than 2^-46.
 *
 * A real: factor is off by 1/2 in y + f < 2^7, so by 2^6; the product drops less than 1 and f what lies behind its 64
 * bits, less than 1 of `factor` 2^-64. NOISE_SPREAD covers it on both sides.
 */
#include "noise.h"

#include <string.h>

typedef struct {
    _Alignas(64) uint64_t u[NOISE_TILE]; /* as wide as the widest register */
    uint64_t magnitude[NOISE_TILE];
    uint64_t open[NOISE_TILE];   /* 1: undecided */
    uint64_t taken[NOISE_TILE];  /* 1: accepted, if not undecided */
    uint64_t rows[NOISE_ROWS][NOISE_TILE]; /* the last, since not all are used */
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

/* A whole number below 2^52. */
static inline double whole(uint64_t number) {
    return real_of(number | UINT64_C(0x4330000000000000)) - 0x1p52;
}

static inline double exp_of_minus(double g) {
    const double x = g * -0.125;
    double p = 1.0 / 87178291200;
    p = multiply_add(x, p, 1.0 / 6227020800);
    p = multiply_add(x, p, 1.0 / 479001600);
    p = multiply_add(x, p, 1.0 / 39916800);
    p = multiply_add(x, p, 1.0 / 3628800);
    p = multiply_add(x, p, 1.0 / 362880);
    p = multiply_add(x, p, 1.0 / 40320);
    p = multiply_add(x, p, 1.0 / 5040);
    p = multiply_add(x, p, 1.0 / 720);
    p = multiply_add(x, p, 1.0 / 120);
    p = multiply_add(x, p, 1.0 / 24);
    p = multiply_add(x, p, 1.0 / 6);
    p = multiply_add(x, p, 1.0 / 2);
    p = multiply_add(x, p, 1.0);
    p = multiply_add(x, p, 1.0);
    p *= p;
    p *= p;
    return p * p;
}

/* g by Horner's rule, with coefficients from lines or from rows. */
static void exponents(const noise_shape *shape, const tile_state *tile, const double *f, double *g) {
    if (shape->on_lines) { /* both of them, the second of which may be 0 */
        const double a_1 = shape->start_of_line[0], b_1 = shape->slope_of_line[0];
        const double a_2 = shape->start_of_line[1], b_2 = shape->slope_of_line[1];
        for (size_t i = 0; i < NOISE_TILE; i++) {
            const double y = whole(tile->rows[0][i]);
            g[i] = f[i] * multiply_add(f[i], multiply_add(b_2, y, a_2), multiply_add(b_1, y, a_1));
        }
        return;
    }
    for (size_t i = 0; i < NOISE_TILE; i++) g[i] = 0.0;
    for (size_t r = shape->rows; r-- > NOISE_FIXED_ROWS;)
        for (size_t i = 0; i < NOISE_TILE; i++) g[i] = f[i] * (real_of(tile->rows[r][i]) + g[i]);
}

/* Whether the third word lies below exp(-g): `taken`, and `open` where that is too close to tell. */
static void accept(const noise_shape *shape, tile_state *tile, const double *f, const uint64_t *words) {
    _Alignas(64) double g[NOISE_TILE];
    exponents(shape, tile, f, g);
    for (size_t i = 0; i < NOISE_TILE; i++) {
        const double p = exp_of_minus(g[i]), w = unit(words[i]);
        const uint64_t below = w + 0x1p-52 <= p - shape->margin, above = w >= p + shape->margin;
        tile->taken[i] = below;
        tile->open[i] |= 1 ^ (below | above);
    }
    noise_wipe(g, sizeof g);
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
    _Alignas(64) uint64_t parts[NOISE_TILE];
    high_products(shape->factor, second, parts);
    for (size_t i = 0; i < NOISE_TILE; i++) {
        const uint64_t scaled = shape->factor * tile->rows[0][i] + parts[i] + half;
        const uint64_t fraction = (scaled + NOISE_SPREAD) & unit_bits;
        tile->magnitude[i] = scaled >> shape->point;
        tile->open[i] |= (uint64_t)(fraction < 2 * NOISE_SPREAD);
    }
    noise_wipe(parts, sizeof parts);
}

static void one_tile(const noise_shape *shape, tile_state *tile, const uint64_t *first, const uint64_t *second,
                     const uint64_t *third, int64_t *values, uint8_t *verdicts) {
    _Alignas(64) double f[NOISE_TILE];
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
        const size_t rest = trials - i, runs = noise_runs(shape);
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
    noise_wipe(&tile, offsetof(tile_state, rows) + shape->rows * sizeof *tile.rows);
    noise_burn_stack();
}
