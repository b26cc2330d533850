/*
 * Arithmetic modulo n^2, and modulo n, for any odd n: Paillier's group in batches.
 *
 * A residue modulo n^2 is held as the n-adic pair x = a + b n. With Montgomery's R = B^k, coprime to n,
 *
 *   x1 x2     = a1 a2 + (a1 b2 + a2 b1) n                              (mod n^2)
 *   a' R      = a1 a2 + q n                 q = -a1 a2 n^-1 mod R, so the division is exact
 *   x1 x2 / R = a' + b' n                   b' R = a1 b2 + a2 b1 - q   (mod n)
 *
 * so five products of k digits by k replace the eight of a Montgomery product of 2k digits, and squaring takes
 * three and a half. Signs are avoided by adding R and taking 1 off afterwards:
 *
 *   (b' + 1) R = a1 b2 + a2 b1 + (R - q) + q' n      R - q = (R - 1 - q) + 1, the complement of every digit
 *
 * Nothing is ever reduced completely. R >= 64 n, and a residue is "loose": 0 <= a, b < 4 n. Then
 *
 *   a' < (16 n^2 + R n) / R          <= n / 4 + n
 *   b' < (32 n^2 + R + R n) / R      <= n / 2 + n + 1 < 2 n,
 *
 * so products may be added once before they are multiplied again, and no comparison of secrets exists between
 * entering and leaving. One operand may have a < R / 2 if the other one has a, b < n: then a' < n / 2 + n and
 * b' < n / 2 + n / 16 + n + 1 < 2 n for n >= 3.
 *
 * Residues modulo n alone ("single") are the first halves of pairs, with the same bounds.
 *
 * A group is as many values as the kernel computes at once, one a lane: digit i of lane l is word i lanes + l.
 * The moduli of the lanes may differ if they have the same length; tests of many candidates use that.
 *
 * Time and addresses depend on lengths, counts and public exponents only, but for the sieve (numbers.c). Where a function is told that an
 * exponent is public, the function says so.
 */
#ifndef MEDCRYPT_BIGNUM_H
#define MEDCRYPT_BIGNUM_H

#include <stddef.h>
#include <stdint.h>

enum {
    BN_MAX_LANES = 8,
    BN_MAX_BITS = 8192,
    BN_SLACK_BITS = 6, /* R >= 2^6 n */
    BN_ALIGNMENT = 64,
    BN_PICKED = 16, /* entries of the table of a power with windows of 4 bits; with 5 bits there are twice as many */
    BN_WORD_COMB_WINDOW = 5,
};

typedef struct bn_ring bn_ring;

/* One implementation. Results may lie where an operand lies. `scratch` has bn_scratch_words(), zeros when the first
 * product takes it; from then on it belongs to that ring. */
typedef struct {
    size_t lanes;
    size_t digit_bits;   /* B = 2^digit_bits */
    size_t block;        /* k is a multiple of it */
    size_t comb_window;  /* bits of a digit of bn_comb: how large a table this kernel reads quickly */
    void (*multiply)(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch);
    void (*square)(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch);
    void (*multiply_single)(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, uint64_t *scratch);
    void (*square_single)(const bn_ring *ring, uint64_t *z, const uint64_t *x, uint64_t *scratch);
    /* Lane by lane, copy the entry of that index out of `entries` residues of `vectors` digits each, reading all; a
     * multiple of BN_PICKED. */
    void (*pick)(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t entries);
    /* For every group, and lane by lane, copy the entry of that index out of a table that all lanes share; entry
     * e of digit i is table[(i << comb_window) + e]. All of the table is read. */
    void (*pick_shared)(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t groups);
} bn_kernels;

extern const bn_kernels bn_portable;
extern const bn_kernels bn_adx;
extern const bn_kernels bn_fma;
extern const bn_kernels bn_ifma;
extern const bn_kernels bn_narrow;

/* The kernels of that name ("int128", "adx", "fma", "narrow", "ifma"), or of a path: "avx512" has IFMA, "avx2" FMA, and
 * "portable" the better kernel for 64-bit words that the processor runs. NULL where it cannot. Call it only for a path
 * that the processor can run, for "fma" where it runs AVX2, and for "ifma" and "narrow" where it runs AVX-512. */
const bn_kernels *bn_kernels_of(const char *name);

/* Everything derived from the moduli of one group. */
struct bn_ring {
    const bn_kernels *kernels;
    size_t bits;       /* of every modulus */
    size_t words;      /* 64-bit words of n */
    size_t digits;     /* k */
    size_t chunk_bits; /* values enter that many bits at a time: 2^chunk_bits = R / 4 */
    uint64_t *n;       /* digits of n */
    uint64_t *inverse; /* -n^-1 mod B, one word a lane */
    uint64_t *one;     /* pair of R mod n^2: the 1 of Montgomery's form */
    uint64_t *square;  /* pair of R^2 mod n^2 */
    uint64_t *shift;   /* pair of 2^chunk_bits R mod n^2 */
    uint64_t *unit;    /* pair (1, 0) */
    uint64_t *n_words; /* n of lane l in words [l words, (l + 1) words) */
    uint64_t *memory;
    size_t memory_words;
};

/* ---- rings ------------------------------------------------------------------------------------------- */

/* A ring of `lanes` moduli (1, for all lanes, or as many as the kernel has), each big-endian in `width` bytes,
 * odd, at least 3 and of the same length. NULL when memory is short. Freed, and wiped, by bn_ring_free. */
bn_ring *bn_ring_new(const bn_kernels *kernels, const uint8_t *moduli, size_t width, size_t lanes);
void bn_ring_free(bn_ring *ring);

size_t bn_group_words(const bn_ring *ring);  /* of a group of pairs */
size_t bn_single_words(const bn_ring *ring); /* of a group of single residues */
size_t bn_scratch_words(const bn_ring *ring);

/* ---- entering and leaving ---------------------------------------------------------------------------- */

/* Montgomery pairs of `count` big-endian values of `width` bytes; lanes of the last group that no value fills
 * hold 1. Values may be of any size. */
int bn_enter(const bn_ring *ring, uint64_t *pairs, const uint8_t *values, size_t width, size_t count);

/* The least residues modulo n^2, big-endian. `width` is enough for n^2. */
int bn_leave(const bn_ring *ring, uint8_t *values, size_t width, const uint64_t *pairs, size_t count);

/* The pair itself: a below n to `low` (if not NULL) and b below n to `high`, big-endian. */
int bn_leave_pair(const bn_ring *ring, uint8_t *low, uint8_t *high, size_t width, const uint64_t *pairs, size_t count);

/* a + b n for `count` big-endian a and b of `width` bytes, no longer than n; value i with the modulus of lane i modulo
 * the lanes. `value_width` is enough for n^2. */
int bn_join(const bn_ring *ring, uint8_t *values, size_t value_width, const uint8_t *low, const uint8_t *high,
            size_t width, size_t count);

/* ---- operations on groups of pairs ------------------------------------------------------------------- */

int bn_multiply(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, size_t groups);

/* z = x cx + y cy for one group each of constants cx, cy below 2 n. */
int bn_combine(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *cx, const uint64_t *y,
               const uint64_t *cy, size_t groups);

/* z = (1 + m n) x for big-endian plaintexts m of `width` bytes, below n. */
int bn_conceal(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint8_t *plaintexts, size_t width,
               size_t count);

/* z = x^e. The exponent is big-endian. If it is `secret`, each of its 8 `size` bits costs the same and every
 * table entry is read; otherwise leading zeros and zero digits are skipped. */
int bn_power(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups, const uint8_t *exponent, size_t size,
             int secret);

/* The same for a secret exponent of its own for every lane, one after another. */
int bn_power_by_lane(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups, const uint8_t *exponents,
                     size_t size);

/* The product of all values modulo n, lane by lane: `lanes` big-endian results, each up to a power of R. */
int bn_product(const bn_ring *ring, uint8_t *results, size_t width, const uint64_t *pairs, size_t groups);

/* Running products z_i = x_0 ... x_i, lane by lane, for inversion in batches: bn_unwind turns the running
 * products and the inverse of the last one into the inverse of every x. */
int bn_running(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups);
int bn_unwind(const bn_ring *ring, uint64_t *running, const uint64_t *x, const uint64_t *last_inverse, size_t groups);

/* The inverses of the first `present` lanes of one group of public residues, one by one; the other lanes get anything.
 * `all` tells whether each of them has one. */
int bn_public_inverses_of_lanes(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t present, int *all);

/* ---- powers of one base ------------------------------------------------------------------------------ */

typedef struct {
    const bn_ring *ring;
    size_t windows;
    uint64_t *table;
    size_t table_words;
} bn_comb;

/* Digit powers of the base in lane 0 of a group, for exponents of at most `bits` bits. */
bn_comb *bn_comb_new(const bn_ring *ring, const uint64_t *base, size_t bits);
void bn_comb_free(bn_comb *comb);

/* base^e for `count` little-endian exponents of `width` bytes, of which at most `bits` bits may be set. */
int bn_comb_powers(const bn_comb *comb, uint64_t *z, const uint8_t *exponents, size_t width, size_t count);

/* ---- single residues --------------------------------------------------------------------------------- */

/* values^e mod n for big-endian values below 2^chunk_bits and a big-endian exponent; `secret` as above. */
int bn_single_powers(const bn_ring *ring, uint8_t *results, const uint8_t *values, size_t width, size_t count,
                     const uint8_t *exponent, size_t size, int secret);

/* The same for one group, with a secret exponent of its own for every lane, one after another. */
int bn_single_powers_by_lane(const bn_ring *ring, uint8_t *results, const uint8_t *values, size_t width,
                             const uint8_t *exponents, size_t size);

/* 2^(n_l - 1) mod n_l for every lane l: Fermat's test of as many candidates as there are lanes. */
int bn_fermat(const bn_ring *ring, uint8_t *results, size_t width);

/* ---- inverses ------------------------------------------------------------------------------------------ */

/* x^-1 mod n for `count` values below an odd n >= 3, all big-endian, of `width` bytes and no longer than n. The time
 * depends on n's length and the count only. `all` tells whether every x is below n and has an inverse: if not, the
 * results are worth nothing. */
int bn_inverses(uint8_t *results, const uint8_t *values, size_t width, size_t count, const uint8_t *n, int *all);

/* The same for public values and a public n, in less time. */
int bn_public_inverses(uint8_t *results, const uint8_t *values, size_t width, size_t count, const uint8_t *n, int *all);

/* ---- public numbers ---------------------------------------------------------------------------------- */

/* 1 if 0 < x < limit for every big-endian x of `width` bytes. */
int bn_in_range(const uint8_t *values, size_t width, size_t count, const uint8_t *limit);

/* 1 if no value of `width` bytes has a bit set from bit `bits` on; in the same time for all values. */
int bn_fit(const uint8_t *values, size_t width, size_t count, size_t bits, int little_endian);

/* Jacobi symbols (a / n) of big-endian values of `width` bytes and an odd n. */
int bn_jacobi(int8_t *symbols, const uint8_t *values, size_t width, size_t count, const uint8_t *n);

/* Cross out the i in [0, span) with start + i step = 0 mod prime, for every prime; `first` are those of least i. */
void bn_strike(uint8_t *alive, size_t span, const uint32_t *primes, const uint32_t *first, size_t count);

/* ---- for the files of this folder ---------------------------------------------------------------------- */

/* z = x + y, single residues or the halves of a pair; the sum is below R. */
void bn_add_digits(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y);

/* x itself, but no compiler knows: a mask stays a mask and becomes no branch. */
static inline uint64_t bn_opaque(uint64_t x) {
    __asm__("" : "+r"(x));
    return x;
}

/* `pick` and `pick_shared` of kernels with one lane of 64-bit words. */
void bn_pick_words(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t entries);
void bn_pick_shared_words(uint64_t *z, const uint64_t *table, const uint64_t *index, size_t vectors, size_t groups);

void bn_words_of_bytes(uint64_t *x, size_t words, const uint8_t *bytes, size_t width);
void bn_bytes_of_words(uint8_t *bytes, size_t width, const uint64_t *x, size_t words);

/* One group of single residues enters or leaves. `spare` has the words of a value and 3 (words of n + 1). */
void bn_single_enter(const bn_ring *ring, uint64_t *single, const uint8_t *values, size_t width, size_t present,
                     uint64_t *scratch, uint64_t *spare);
void bn_single_leave(const bn_ring *ring, uint8_t *values, size_t width, uint64_t *single, size_t present,
                     uint64_t *scratch, uint64_t *spare);

/* ---- memory ------------------------------------------------------------------------------------------- */

/* Aligned words, zeros; NULL when memory is short. bn_release wipes them; it takes NULL. */
uint64_t *bn_allocate(size_t words);
void bn_release(uint64_t *memory, size_t words);
void bn_wipe(void *memory, size_t size);

/* Random bytes of the operating system; 0 where it has no call for it, or refuses. */
int bn_random(uint8_t *out, size_t size);

/* Zeros over the stack frames of the kernel that has just returned. */
void bn_burn_stack(void);

#endif
