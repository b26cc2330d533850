/* Plain C that a compiler makes wide: sums are taken in lanes, so that no order of additions forbids it. */
#include "clip.h"

#include <math.h>

enum { LANES = 8 };

static double square(const double *row, size_t width) {
    double lane[LANES] = {0.0};
    size_t j = 0;
    for (; j + LANES <= width; j += LANES)
        for (size_t k = 0; k < LANES; k++) lane[k] += row[j + k] * row[j + k];
    for (size_t k = 0; j + k < width; k++) lane[k] += row[j + k] * row[j + k];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static double widening(size_t width) { return 1.0 + ((double)width + 8.0) * 0x1p-52; }

void clip_squares(const double *x, size_t rows, size_t width, double *out) {
    const double wider = widening(width);
    for (size_t i = 0; i < rows; i++) out[i] = square(x + i * width, width) * wider + CLIP_UNDERFLOW;
}

void clip_outer_squares(const double *x, size_t width_x, const double *y, size_t width_y, int bias, size_t rows,
                        double *out) {
    const double wider = widening(width_x + width_y), least = bias ? 1.0 : CLIP_UNDERFLOW;
    for (size_t i = 0; i < rows; i++) {
        const double of_x = square(x + i * width_x, width_x) + least;
        const double of_y = square(y + i * width_y, width_y) + CLIP_UNDERFLOW;
        out[i] = of_x * of_y * wider + CLIP_UNDERFLOW;
    }
}

int clip_factors(const double *squares, size_t rows, double clip, double *out) {
    /* A norm is too small by a rounding at most, and so is the quotient; a factor below 1 is twenty times as far below. */
    const double below = clip * (1.0 - 0x1p-48), far_below = below * (1.0 - 0x1p-48);
    int finite = 1;
    for (size_t i = 0; i < rows; i++) {
        const double norm = sqrt(squares[i]), quotient = below / (norm > far_below ? norm : far_below);
        finite &= squares[i] < INFINITY; /* NaN is not */
        out[i] = quotient < 1.0 ? quotient : 1.0;
    }
    return finite;
}

void clip_scaled(const double *x, const double *factors, size_t rows, size_t width, double *out, double *sums) {
    for (size_t j = 0; j < width; j++) sums[j] = 0.0;
    for (size_t i = 0; i < rows; i++) {
        const double *row = x + i * width, factor = factors[i];
        double *restrict scaled = out + i * width, *restrict sum = sums;
        for (size_t j = 0; j < width; j++) {
            scaled[j] = factor * row[j];
            sum[j] += scaled[j];
        }
    }
}

void clip_add_on_lattice(int64_t *integers, double *sums, size_t size, double per_step, double unit) {
    for (size_t k = 0; k < size; k++) {
        integers[k] += (int64_t)llrint(sums[k] * per_step);
        sums[k] = (double)integers[k] * unit;
    }
}
