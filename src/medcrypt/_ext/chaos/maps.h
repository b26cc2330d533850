/*
 * Chaotic maps in fixed point of B = 32 or 64 bits: the same orbit on every machine.
 *
 * Below M = 2^B, a word x is the number x / M unless a line says otherwise, ~x = M - 1 - x, and
 * hi(a, b) = floor(a b / M). Signed words have F bits behind the point, [a b] = floor(a b / 2^F), and wrap.
 *
 *   logistic    x = hi(p, q(x))                     q(x) = floor(x ~x / 2^(B-2)), which is 4 x (1 - x); r = 4 p / M
 *   tent        x = hi(p, t)                        t = 2 x below M / 2, otherwise 2 ~x; mu = 2 p / M
 *   piecewise   x = floor(x a / 2^(B-5)) below p,   a = floor(2^(2B-5) / p), c = floor(2^(2B-5) / (M/2 - p)); before,
 *               else floor((x - p) c / 2^(B-5))     x = min(x, ~x): symmetric about 1/2
 *   sine        x = hi(p, s(q(x)))                  s(y) = floor(y M / floor((5 M - y) / 4)), 4 y / (5 - y): Bhaskara's
 *                                                   rational sin(pi x)
 *   henon       x, y = 1 - [a [x x]] + y, [b x]     F = B - 3
 *   cat         y = y + b (x + a y), x = x + a y    modulo M, with the old x and y
 *   cat3        the cat in the planes (x, y), (y, z), (z, x), one after another
 *   baker       x, y = 2 x + (y mod 2), y / 2 + x's first bit: a rotation of the 2 B bits
 *   lorenz      x += [s (y - x)] / 2^8              F = B - 7, coordinates divided by 64, h = 2^-8, all from old values:
 *               y += ([r x] - 64 [x z] - y) / 2^8   z += (64 [x y] - [b z]) / 2^8
 *   chen        x += [a (y - x)] / 2^10             likewise, h = 2^-10
 *               y += ([(c - a) x] - 64 [x z] + [c y]) / 2^10,  z += (64 [x y] - [b z]) / 2^10
 *   coupling    x = s(q(u)), u = hi(p, q(x)) + hi(~p, s(q(y)));  then y the same, with the new x (Hua et al. 2018)
 *   lattice     x_i = hi(~e, f(x_i)) + hi(e, (f(x_(i-1)) + f(x_(i+1))) / 2) on a ring, f the logistic map
 *
 * Divisions by powers of two round down. None of this is secret; sine and coupling divide, in time that varies.
 */
#ifndef MEDCRYPT_CHAOS_MAPS_H
#define MEDCRYPT_CHAOS_MAPS_H

#include <stddef.h>
#include <stdint.h>

enum maps_kind {
    MAPS_LOGISTIC, MAPS_TENT, MAPS_PIECEWISE, MAPS_SINE, MAPS_HENON, MAPS_CAT, MAPS_CAT3, MAPS_BAKER, MAPS_LORENZ,
    MAPS_CHEN, MAPS_COUPLING, MAPS_LATTICE, MAPS_KINDS
};

/* Words of state and of parameters for each lane. */
extern const int maps_dimensions[MAPS_KINDS], maps_parameters[MAPS_KINDS];

/* Advance every lane: coordinate d of lane l is state[d lanes + l], its parameter k is q[k lanes + l]. `spare` has room
 * for `lanes` words. */
typedef void maps_advance_32(uint32_t *state, const uint32_t *q, uint32_t *spare, size_t lanes, uint64_t steps);
typedef void maps_advance_64(uint64_t *state, const uint64_t *q, uint64_t *spare, size_t lanes, uint64_t steps);

struct maps_kernels {
    maps_advance_32 *advance_32[MAPS_KINDS];
    maps_advance_64 *advance_64[MAPS_KINDS];
};

extern const struct maps_kernels maps_portable, maps_avx2, maps_avx512;

/* The kernels of a path ("portable", "avx2", "avx512"). */
const struct maps_kernels *maps_kernels_of(const char *path);

#endif
