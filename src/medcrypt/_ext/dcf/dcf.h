/*
 * Two-party function secret sharing of comparisons and points.
 *
 *   comparison  f(x) = beta where x < alpha, else 0        Boyle et al. 2021 (eprint 2020/1392), figure 1
 *   point       f(x) = beta where x = alpha, else 0        Boyle, Gilboa, Ishai 2016 (eprint 2018/707), figure 1
 *
 * x and alpha have n bits, 1 <= n <= 64; beta and the values are integers modulo 2^(8 P), P = 4 or 8. The two
 * parties' values add up to f(x), always; each key alone is pseudorandom.
 *
 * A key is a seed and one correction for each level of a binary tree. A node has a seed s (its lowest bit 0) and a bit t;
 * its children L (j = 0) and R (j = 1) come from
 *
 *   A_j = H(s xor j)        seed of the child, whose lowest bit becomes its t
 *   B_j = H(s xor (2 + j))  value of the edge, its lowest 8 P bits; comparisons only
 *   H(x) = pi(x) xor x      pi = AES-128 under a public key, fresh for every session of a dealer
 *
 * H is the Matyas-Meyer-Oseas compression. What the proof needs is a pseudorandom generator: s -> (A_0, A_1, B_0, B_1)
 * looks uniform for the N uniform seeds of one session, each used in this way only. With an ideal pi an adversary of
 * q queries, in either direction, gains at most about 4 q N / 2^127 (it meets one of the 4 N inputs: two per
 * seed agree with a query in 127 bits, four outputs in 128) + 10 N^2 / 2^128 (two seeds of 127 bits meet, s = s' or
 * s = s' xor 2; and 4 N outputs of a permutation never do). That is the multi-instance tweakable setting of Guo et
 * al. 2020 (eprint 2019/1168) without tweaks: at 2^36 comparisons of 32 bits a session, N = 2^41, the second term
 * is 2^-42, and q = 2^60 leaves 2^-24 in the first; a fresh pi for each session keeps sessions apart. No input of H
 * depends on a secret that both parties' keys share: half-tree constructions do that, and need more of H (circular
 * correlation robustness, for which pi(x) xor x is not enough).
 *
 * Keys come in blocks of 16, side by side, so that 16 trees descend together:
 *
 *   16 seeds  |  n levels: 16 seed corrections, 16 value corrections (comparisons), t bits of L, of R (2 bytes each)
 *   |  16 last value corrections
 *
 * 16-byte seeds, P-byte values, all little-endian; key k of a block has bit k. Everything that depends on a seed, an alpha,
 * a beta or an x is straight-line code.
 */
#ifndef MEDCRYPT_DCF_H
#define MEDCRYPT_DCF_H

#include <stddef.h>
#include <stdint.h>

enum {
    DCF_KEY = 16,    /* bytes of pi's key */
    DCF_SEED = 16,
    DCF_BLOCK = 16,  /* keys side by side */
    DCF_ROUNDS = 10,
    DCF_WIDTH = 64,  /* bytes of a zmm register: each round key fills one */
};

enum dcf_kind { DCF_POINT, DCF_COMPARISON };

struct dcf_kernels;

typedef struct {
    _Alignas(64) uint8_t round_keys[DCF_ROUNDS + 1][DCF_WIDTH];
    enum dcf_kind kind;
    unsigned bits;    /* n */
    unsigned payload; /* P */
    const struct dcf_kernels *kernels;
} dcf_function;

/* One implementation, a block at a time. `alpha` and `x` have n bits, `beta` and `values` 8 P; `roots` are two seeds for
 * each key, party 0's first, lowest bits 0. */
struct dcf_kernels {
    void (*generate)(const dcf_function *function, const uint64_t alpha[DCF_BLOCK], const uint64_t beta[DCF_BLOCK],
                     const uint8_t roots[DCF_BLOCK][2][DCF_SEED], uint8_t *key0, uint8_t *key1);
    void (*evaluate)(const dcf_function *function, int party, const uint8_t *key, const uint64_t x[DCF_BLOCK],
                     uint64_t values[DCF_BLOCK]);
};

extern const struct dcf_kernels dcf_aesni;
extern const struct dcf_kernels dcf_vaes512;

/* Of the AES-NI file, for both. */
void dcf_aesni_expand(dcf_function *function, const uint8_t key[DCF_KEY]);

/* The kernels of a path ("avx2", "avx512"), or NULL where this build has none. */
const struct dcf_kernels *dcf_kernels_of(const char *path);

/* Bytes of a block, and of the corrections of one level in it. */
size_t dcf_block_size(enum dcf_kind kind, unsigned bits, unsigned payload);
static inline size_t dcf_level_size(const dcf_function *function) {
    return DCF_BLOCK * (DCF_SEED + (function->kind == DCF_COMPARISON ? function->payload : 0)) + 4;
}

dcf_function *dcf_new(const struct dcf_kernels *kernels, enum dcf_kind kind, unsigned bits, unsigned payload,
                      const uint8_t key[DCF_KEY]);
void dcf_free(dcf_function *function);

/* Any number of keys; the last block is filled up with functions of alpha = beta = 0 from the roots given for them. `roots`
 * has 2 seeds for each place of every block. */
void dcf_generate(const dcf_function *function, size_t count, const uint64_t *alpha, const uint64_t *beta,
                  const uint8_t *roots, uint8_t *key0, uint8_t *key1);
void dcf_evaluate(const dcf_function *function, int party, size_t count, const uint8_t *key, const uint64_t *x,
                  uint64_t *values);

/* Zeros that the compiler may not leave out. */
void dcf_wipe(void *memory, size_t size);

#endif
