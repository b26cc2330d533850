/*
 * Clipping per-sample gradients, one in each row.
 *
 *   squares        s_i = sum_j x_ij^2, widened
 *   outer squares  s_i = (sum_j x_ij^2 + (1 for a bias)) sum_j y_ij^2, widened: of the outer product of two rows
 *   factors        f_i <= min(1, C / sqrt(s_i))
 *   scaled         f_i x_ij, and their sums over i
 *   on the lattice z_k + round(s_k / g), and that times g / m, z integers of noise
 *
 * "Widened" makes an upper bound of the exact sum. Let u = 2^-53. A sum of k squares is a sum of numbers >= 0, each with
 * at most k roundings behind it in any order and with or without fused operations, so that the exact one is at most
 * 1/(1 - u)^(k+1) times it, plus what underflowed, k 2^-1074. The factor 1 + 2 (k + 8) u covers that and the few
 * products and sums that follow, whose roundings are u each; CLIP_UNDERFLOW covers what underflowed.
 *
 * The time depends on sizes alone; what is not finite shows in the norms, and is told by `clip_factors`.
 */
#ifndef MEDCRYPT_CLIP_H
#define MEDCRYPT_CLIP_H

#include <stddef.h>
#include <stdint.h>

#define CLIP_UNDERFLOW 0x1p-1000

void clip_squares(const double *x, size_t rows, size_t width, double *out);

void clip_outer_squares(const double *x, size_t width_x, const double *y, size_t width_y, int bias, size_t rows,
                        double *out);

/* 1 when every square is finite; otherwise 0. */
int clip_factors(const double *squares, size_t rows, double clip, double *out);

void clip_scaled(const double *x, const double *factors, size_t rows, size_t width, double *out, double *sums);

/* `per_step` is 1/g, `unit` is g/m. Noise becomes noise and sums, both below 2^62, and sums become what is released. */
void clip_add_on_lattice(int64_t *integers, double *sums, size_t size, double per_step, double unit);

#endif
