/*
 * The chaotic cipher: a lattice of coupled logistic maps, used as a generator and as a network of passes.
 *
 * A node is a 64-bit word a = (r, u): r its upper, u its lower half. One step of a lattice of eight nodes, for
 * the pairs (a, b) = (x_0, x_1), (x_2, x_3), (x_4, x_5), (x_6, x_7):
 *
 *   p(a) = u (r - u mod 2^32)          the logistic map with the parameter r, exact to 64 bits
 *   b    = rotl(b + p(a), 29) xor a    step s adds (s + 1) 0x9e3779b97f4a7c15 to the first pair's sum
 *   x    = (x_1, x_2, x_5, x_0, x_3, x_6, x_7, x_4)
 *
 * Whatever p is, a step is a bijection of 512 bits. Every node reaches all others in six steps, either way
 * (Suzaki and Minematsu, FSE 2010: the shuffle of a generalised Feistel network with eight branches).
 * L^s are s steps; their numbers s start at 0 in each L^s.
 *
 *   G_s(x) = L^s(x) + x                one way, for a secret x
 *
 * A row is 8 lanes of 8 words, 512 bytes: word w of lane l is the little-endian number at byte 64 w + 8 l. All
 * operations on rows go on in the 8 lanes side by side.
 *
 *   Z(d, i), lane l = G_16(k_0 + 8 i + l, k_1, k_2, k_3, k_4 + d, k_5, k_6, k_7)      seed k: 64 secret bytes
 *
 * The stream that encrypts is Z(0, 0), Z(0, 1), ... A network of passes over m rows and a tail of t < 512 bytes:
 *
 *   pass q, for row j in rising order where q is even, else in falling order,
 *     y_w(l) = x[j + f_w mod m]_w (l + c_w j + e_w mod 8)      the index bijection: three shears
 *     z      = L^8(y xor v xor A, j added to word 0) xor B     z is the new row j
 *     v      = z                                               to begin with V, or as below
 *
 *   even q:    then tail = tail xor the first bytes of G_8(v xor T)
 *   odd q:     to begin with v = V xor G_8((tail || 0 ...) xor T), if there is a tail
 *
 *   A, B, V, T = Z(1, 4 q), ..., Z(1, 4 q + 3);  f, c, e from Z(2, q): f_w = word w of lane 0 mod m,
 *   c_w = that of lane 1, made odd, e_w = that of lane 2.
 *
 * The steps are constant time: multiplication is, on every processor of the kernels' kind. The order in which
 * rows are touched depends on f, c and e, which the key gives anew to every message.
 */
#ifndef MEDCRYPT_CHAOS_H
#define MEDCRYPT_CHAOS_H

#include <stddef.h>
#include <stdint.h>

enum {
    CHAOS_NODES = 8,
    CHAOS_LANES = 8,
    CHAOS_LINE = 64, /* bytes: one word of every lane */
    CHAOS_ROW = 512,
    CHAOS_SEED = 64,
    CHAOS_PASSES = 16,        /* at most */
    CHAOS_STREAM_STEPS = 16,  /* of Z */
    CHAOS_STEPS = 64,         /* at most, of a pass */
};

typedef struct {
    uint8_t before[CHAOS_ROW]; /* A */
    uint8_t after[CHAOS_ROW];               /* B */
    uint8_t start[CHAOS_ROW];               /* V */
    uint8_t tail[CHAOS_ROW];                /* T */
    size_t shift[CHAOS_NODES];              /* f */
    uint64_t turn[CHAOS_NODES];             /* c */
    uint64_t turned[CHAOS_NODES];           /* e */
} chaos_pass;

/* A message's network. The cipher has 4 passes of 8 steps; studies reduce them. */
typedef struct {
    chaos_pass pass[CHAOS_PASSES];
    unsigned passes, steps;
    size_t rows, tail; /* m, t */
} chaos_network;

/* One implementation; all give the same bytes. `src`, `dst` and `spare` do not overlap. */
struct chaos_kernels {
    /* dst = src xor the stream's bytes from row `first` on. */
    void (*stream)(const uint64_t seed[CHAOS_NODES], unsigned steps, uint64_t domain, uint64_t first,
                   const uint8_t *src, uint8_t *dst, size_t size);
    /* One pass over the rows, or its inverse. `v` is what the chain begins with. */
    void (*pass)(const chaos_network *network, unsigned number, const uint8_t v[CHAOS_ROW], const uint8_t *src,
                 uint8_t *dst);
    void (*unpass)(const chaos_network *network, unsigned number, const uint8_t v[CHAOS_ROW], const uint8_t *src,
                   uint8_t *dst);
    /* G_steps of one row. */
    void (*one_way)(unsigned steps, const uint8_t src[CHAOS_ROW], uint8_t dst[CHAOS_ROW]);
};

extern const struct chaos_kernels chaos_portable, chaos_avx2, chaos_avx512;

/* The kernels of a path ("portable", "avx2", "avx512"). */
const struct chaos_kernels *chaos_kernels_of(const char *path);

void chaos_prepare(const struct chaos_kernels *kernels, chaos_network *network, const uint64_t seed[CHAOS_NODES],
                   unsigned passes, unsigned steps, size_t size);

/* `spare` has room for all whole rows. */
void chaos_seal(const struct chaos_kernels *kernels, const chaos_network *network, const uint8_t *src, uint8_t *spare,
                uint8_t *dst);
void chaos_open(const struct chaos_kernels *kernels, const chaos_network *network, const uint8_t *src, uint8_t *spare,
                uint8_t *dst);

/* Zeros that the compiler may not leave out. */
void chaos_wipe(void *memory, size_t size);

#endif
