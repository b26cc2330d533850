/*
 * Kernels of the privacy accountant. A table lists losses l_j with weights nu_j that sum to one, a mechanism
 * tilted to the line Re z = c. On the line's nodes z = c + i n h
 *
 *     M(z)/M(c) - 1 = sum over j of nu_j (e^(i n h l_j) - 1)                          (walk)
 *
 * which is precise however close to one M is. docs/explanation/accountant-proof.md bounds every error of
 * these files; u is 2^-53 throughout. No function needs more than the accuracy that is stated here of libm: a
 * relative error of 8 u in exp, expm1, log, log1p, and of 8 u in atan2.
 */
#ifndef MEDCRYPT_DP_H
#define MEDCRYPT_DP_H

#include <stddef.h>

enum {
    DP_LANES = 8,     /* arrays are padded to a multiple of this */
    DP_TILE = 512,    /* losses that stay in the first cache while the line is walked */
    DP_RESTART = 32,  /* steps of the recurrence between two fresh starts */
    DP_STRIP = 32,    /* columns of a product whose sums stay in registers; their number is a multiple of it */
    DP_POINTS = 32,   /* Gauss-Legendre points of a panel */
};

/* What one instruction set does; the same source for all, so that all give the same bits. */
struct dp_kernels {
    /* e^x, relative error <= 4 u for |x| <= 700; 0 below -700. */
    void (*exponentials)(const double *x, double *out, size_t n);
    /* cos x - 1 and sin x, error <= 4 u |e^(ix) - 1| + 2 u |x| for |x| <= 2^20, 4 u |x| up to 2^40. */
    void (*turns)(const double *x, double *versine, double *sine, size_t n);
    /* Real and imaginary part of the sum above for n = first, ..., first + count - 1. `size` is padded. */
    void (*walk)(const double *losses, const double *weights, size_t size, double step, size_t first,
                 size_t count, double *real, double *imaginary);
    /* sums[0] = sum of a_n cos(p_n - t_n eps), sums[1] = sum of a_n t_n sin(p_n - t_n eps). */
    void (*line)(const double *amplitude, const double *phase, const double *t, size_t size, double epsilon,
                 double sums[2]);
    /* Adds to out[n][k] the sum over j of rows[n][j] columns[j][k], complex; each sum runs over j in order. */
    void (*products)(const double *rows_real, const double *rows_imaginary, const double *columns_real,
                     const double *columns_imaginary, size_t rows, size_t size, size_t columns, double *real,
                     double *imaginary);
};

extern const struct dp_kernels dp_portable, dp_avx2, dp_avx512;
const struct dp_kernels *dp_kernels_of(const char *path);

/* The Poisson-sampled Gaussian in one direction, tilted by c and cut to low <= x <= high. */
struct dp_sampled {
    double sigma, q, log_q, c;
    int removing;
    double low, high;
};

/* What a table is worth; errors in units of u except where they are called quadrature. */
struct dp_worth {
    double log_moment;         /* log of the integral of the weights, M(c) */
    double moment_error;       /* absolute error of log_moment by rounding, not in units of u */
    double log_quadrature;     /* log of the absolute error of quadrature of any M(c + i t), |t| <= t_max */
    double mean_modulus;       /* A1 = sum nu |l| */
    double weight_error;       /* R0 = sum nu eta, eta: relative error of nu_j */
    double weighted_error;     /* R1 = sum nu eta |l| */
    double loss_error;         /* L1 = sum nu lambda, lambda: absolute error of l_j */
};

/* Ends of panels whose quadrature errors are at most exp(log_target) each, for |t| <= t_max, or, with points on
 * Im x = lift sigma^2, 0 < lift < pi/2, for all t >= 0. Returns their number, or 0 if more than `room` are needed. */
size_t dp_panels(const struct dp_sampled *mechanism, double lift, double t_max, double log_target, double *ends,
                 size_t room, double *log_quadrature);

/* Fill losses and weights (DP_POINTS for each panel) from the ends of panels. Returns -1 without memory. */
int dp_table(const struct dp_sampled *mechanism, const double *ends, size_t panels, double *losses,
             double *weights, struct dp_worth *worth);

/* Upper bounds on log(|M(c + i s)|/M(c)) for all s >= t[k]; `log_moment` is an upper bound on log M(c). */
void dp_decay(const struct dp_sampled *mechanism, double log_moment, const double *t, size_t size,
              double *log_bound);

#endif
