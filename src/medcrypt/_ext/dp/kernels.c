/*
 * The loops of the accountant, built once for each instruction set: plain C that compilers turn into vectors.
 * DP_KERNELS names the table. No multiplication is contracted with an addition, lanes add up in one order,
 * and so every path returns the same bits.
 *
 *   e^x:  x = k ln 2 + r, |r| <= 0.347, Taylor to r^13:  the rest is below 0.05 u.
 *   sin, cos - 1:  x = k pi/2 + r, |r| <= 0.786, Taylor to r^17 and r^18.
 */
#include "dp.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer, kept in the low bits */

static inline int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double double_of(int64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ln 2 in two parts; the first has 32 bits, so that its product with k is exact. */
static inline double exponential(double x) {
    const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    double clamped = x < -700.0 ? -700.0 : x > 700.0 ? 700.0 : x;
    double shifted = clamped * 0x1.71547652b82fep0 + ROUNDER;
    double k = shifted - ROUNDER;
    double r = (clamped - k * ln2_high) - k * ln2_low;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * (r * r) + r;
    double scale = double_of((int64_t)((uint64_t)(bits_of(shifted) + 1023) << 52));
    double value = scale + scale * p;
    return x < -700.0 ? 0.0 : value;
}

/* pi/2 in three parts of 33 bits: products with |k| <= 2^20 are exact. */
static inline void turn(double x, double *versine, double *sine) {
    const double high = 0x1.921fb544p0, middle = 0x1.0b4611a6p-34, low = 0x1.3198a2e037073p-69;
    double shifted = x * 0x1.45f306dc9c883p-1 + ROUNDER;
    double k = shifted - ROUNDER;
    int64_t quadrant = bits_of(shifted);
    double r = ((x - k * high) - k * middle) - k * low;
    double square = r * r;
    double s = 1.0 / 355687428096000.0;
    s = s * square - 1.0 / 1307674368000.0;
    s = s * square + 1.0 / 6227020800.0;
    s = s * square - 1.0 / 39916800.0;
    s = s * square + 1.0 / 362880.0;
    s = s * square - 1.0 / 5040.0;
    s = s * square + 1.0 / 120.0;
    s = s * square - 1.0 / 6.0;
    s = r + r * (square * s);
    double c = -1.0 / 6402373705728000.0;
    c = c * square + 1.0 / 20922789888000.0;
    c = c * square - 1.0 / 87178291200.0;
    c = c * square + 1.0 / 479001600.0;
    c = c * square - 1.0 / 3628800.0;
    c = c * square + 1.0 / 40320.0;
    c = c * square - 1.0 / 720.0;
    c = c * square + 1.0 / 24.0;
    c = square * (square * c) - 0.5 * square; /* cos r - 1 */
    double cosine = 1.0 + c;
    double along = quadrant & 1 ? -s : cosine, across = quadrant & 1 ? cosine : s;
    double turned = quadrant & 2 ? -along : along;
    *sine = quadrant & 2 ? -across : across;
    *versine = quadrant & 3 ? turned - 1.0 : c;
}

/* `out` may be `x`. */
static void exponentials(const double *x, double *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = exponential(x[i]);
}

static void turns(const double *restrict x, double *restrict versine, double *restrict sine, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double v, s;
        turn(x[i], &v, &s);
        versine[i] = v;
        sine[i] = s;
    }
}

struct tile {
    double angle[DP_TILE], versine[DP_TILE], sine[DP_TILE], step_versine[DP_TILE], step_sine[DP_TILE];
};

static double total(const double lanes[DP_LANES]) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/* With w = e^(i b) - 1 and W = e^(i h l) - 1 the next w is w + W + w W: relative precision for small angles. */
static void advance(struct tile *restrict tile, const double *restrict weights, size_t size,
                    double *restrict real, double *restrict imaginary) {
    double sum_v[DP_LANES] = {0}, sum_s[DP_LANES] = {0};
    for (size_t j = 0; j < size; j += DP_LANES) {
        for (size_t i = 0; i < DP_LANES; i++) {
            double v = tile->versine[j + i], s = tile->sine[j + i];
            double V = tile->step_versine[j + i], S = tile->step_sine[j + i];
            sum_v[i] += weights[j + i] * v;
            sum_s[i] += weights[j + i] * s;
            tile->versine[j + i] = ((v + V) + v * V) - s * S;
            tile->sine[j + i] = ((s + S) + s * V) + v * S;
        }
    }
    *real += total(sum_v);
    *imaginary += total(sum_s);
}

static void walk(const double *losses, const double *weights, size_t size, double step, size_t first,
                 size_t count, double *real, double *imaginary) {
    struct tile tile;
    for (size_t n = 0; n < count; n++) real[n] = imaginary[n] = 0.0;
    for (size_t start = 0; start < size; start += DP_TILE) {
        size_t width = size - start < DP_TILE ? size - start : DP_TILE;
        for (size_t j = 0; j < width; j++) tile.angle[j] = step * losses[start + j];
        turns(tile.angle, tile.step_versine, tile.step_sine, width);
        for (size_t n = 0; n < count; n++) {
            if (n % DP_RESTART == 0) {
                double t = (double)(first + n) * step;
                for (size_t j = 0; j < width; j++) tile.angle[j] = t * losses[start + j];
                turns(tile.angle, tile.versine, tile.sine, width);
            }
            advance(&tile, weights + start, width, &real[n], &imaginary[n]);
        }
    }
}

static void line(const double *amplitude, const double *phase, const double *t, size_t size, double epsilon,
                 double sums[2]) {
    double angle[DP_TILE], versine[DP_TILE], sine[DP_TILE];
    double cosines[DP_LANES] = {0}, sines[DP_LANES] = {0};
    for (size_t start = 0; start < size; start += DP_TILE) {
        size_t width = size - start < DP_TILE ? size - start : DP_TILE;
        for (size_t n = 0; n < width; n++) angle[n] = phase[start + n] - t[start + n] * epsilon;
        turns(angle, versine, sine, width);
        for (size_t n = 0; n < width; n += DP_LANES) {
            for (size_t i = 0; i < DP_LANES; i++) {
                double a = amplitude[start + n + i];
                cosines[i] += a + a * versine[n + i];
                sines[i] += (a * t[start + n + i]) * sine[n + i];
            }
        }
    }
    sums[0] = total(cosines);
    sums[1] = total(sines);
}

/* Strip after strip, row after row: the sum over j runs in order, so that all paths round alike. */
static void products(const double *rows_real, const double *rows_imaginary, const double *columns_real,
                     const double *columns_imaginary, size_t rows, size_t size, size_t columns, double *real,
                     double *imaginary) {
    for (size_t left = 0; left < columns; left += DP_STRIP) {
        for (size_t n = 0; n < rows; n++) {
            double sum_real[DP_STRIP] = {0}, sum_imaginary[DP_STRIP] = {0};
            for (size_t j = 0; j < size; j++) {
                const double a = rows_real[n * size + j], b = rows_imaginary[n * size + j];
                const double *restrict c = columns_real + j * columns + left;
                const double *restrict d = columns_imaginary + j * columns + left;
                for (size_t i = 0; i < DP_STRIP; i++) {
                    sum_real[i] += a * c[i] - b * d[i];
                    sum_imaginary[i] += a * d[i] + b * c[i];
                }
            }
            for (size_t i = 0; i < DP_STRIP; i++) {
                real[n * columns + left + i] += sum_real[i];
                imaginary[n * columns + left + i] += sum_imaginary[i];
            }
        }
    }
}

const struct dp_kernels DP_KERNELS = {exponentials, turns, walk, line, products};
