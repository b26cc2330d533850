/*
 * AES-256 in counter mode (NIST SP 800-38A, 6.5): the key stream alone.
 *
 *   S_i = AES_K(c + i),    i = 0, 1, ...       c + i as 128-bit big-endian integers, below 2^128
 *
 * It is written, or its little-endian words of 32 or 64 bits are added to those in memory or subtracted from them,
 * modulo 2^32 or 2^64.
 *
 * Everything that depends on the key is straight-line code: branches and addresses follow the sizes.
 */
#ifndef MEDCRYPT_AES_CTR_H
#define MEDCRYPT_AES_CTR_H

#include <stddef.h>
#include <stdint.h>

enum {
    CTR_BLOCK = 16,
    CTR_KEY = 32,
    CTR_ROUNDS = 14,
    CTR_WIDTH = 64,   /* bytes of a zmm register */
    CTR_FRAME = 2048, /* more stack than any kernel uses */
};

struct ctr_kernels;

/* Each round key fills a register of the widest kind: kernels use it where it lies. */
typedef struct {
    _Alignas(64) uint8_t round_keys[CTR_ROUNDS + 1][CTR_WIDTH];
    const struct ctr_kernels *kernels;
} ctr_key;

/* A 128-bit number: high 2^64 + low. */
typedef struct {
    uint64_t high, low;
} ctr_counter;

/* What becomes of the words of `out`. */
typedef enum { CTR_WRITE, CTR_ADD_32, CTR_SUBTRACT_32, CTR_ADD_64, CTR_SUBTRACT_64 } ctr_use;

/* One implementation. `apply` takes whole blocks, and its caller sees to it that `low` does not wrap in between. */
struct ctr_kernels {
    void (*apply)(const ctr_key *key, ctr_counter first, uint8_t *out, size_t blocks, ctr_use use);
};

extern const struct ctr_kernels ctr_aesni;
extern const struct ctr_kernels ctr_vaes512;

/* Of the AES-NI file, for both: the round keys. */
void ctr_aesni_expand(ctr_key *key, const uint8_t secret[CTR_KEY]);

/* The kernels of a path ("avx2", "avx512"), or NULL where this build has none. Call it only for a path that
 * the processor can run. */
const struct ctr_kernels *ctr_kernels_of(const char *path);

/* NULL when memory is short. The key is wiped by ctr_key_free, which takes NULL. */
ctr_key *ctr_key_new(const struct ctr_kernels *kernels, const uint8_t secret[CTR_KEY]);
void ctr_key_free(ctr_key *key);

/* `size` bytes of key stream; the last block is cut. first + the number of blocks is at most 2^128. Where words are
 * added or subtracted `size` is a multiple of their size. */
void ctr_apply(const ctr_key *key, ctr_counter first, uint8_t *out, size_t size, ctr_use use);

/* What kernels of other families draw from, as a capsule of this name hands it over: key stream of a key that lives as
 * long as its owner, written from block `first` on. */
#define CTR_CAPSULE "medcrypt._ext.aes.ctr_source"
typedef struct {
    const ctr_key *key;
    void (*apply)(const ctr_key *key, ctr_counter first, uint8_t *out, size_t size, ctr_use use);
} ctr_source;

/* Zeros that the compiler may not leave out. */
void ctr_wipe(void *memory, size_t size);

#endif
