/*
 * SHA-512 (FIPS 180-4, section 6.4), HMAC (RFC 2104) and HKDF-Expand (RFC 5869, section 2.3) over it.
 *
 *   H(0)      = the initial value
 *   H(i)      = H(i-1) + compress(H(i-1), block i)                          64-bit words, modulo 2^64
 *   HMAC(K,m) = H((K' xor opad) || H((K' xor ipad) || m))                   K' is K padded to one block
 *   T(i)      = HMAC(K, T(i-1) || info || i),   T(0) empty                  i is one byte
 *
 * K' xor ipad and K' xor opad are one block each: a key is kept as the two states after them, which saves two
 * of every four compressions and keeps the key itself out of memory.
 *
 * Additions, rotations and logic only: time and addresses follow the lengths, never the data.
 */
#ifndef MEDCRYPT_SHA512_H
#define MEDCRYPT_SHA512_H

#include <stddef.h>
#include <stdint.h>

enum {
    SHA512_BLOCK = 128,
    SHA512_DIGEST = 64,
    SHA512_WORDS = 8,
    HKDF_MOST = 255 * SHA512_DIGEST, /* the counter is one byte */
};

/* One implementation of the compression: the state takes in `count` blocks. */
typedef void (*sha512_compress)(uint64_t state[SHA512_WORDS], const uint8_t *blocks, size_t count);

/* The one of a path ("portable", "avx2", "avx512"). Call it only for a path that the processor can run. */
sha512_compress sha512_compress_of(const char *path);

void sha512_compress_portable(uint64_t state[SHA512_WORDS], const uint8_t *blocks, size_t count);
void sha512_compress_avx2(uint64_t state[SHA512_WORDS], const uint8_t *blocks, size_t count);
void sha512_compress_avx512(uint64_t state[SHA512_WORDS], const uint8_t *blocks, size_t count);

/* FIPS 180-4, section 4.2.3. */
extern const uint64_t sha512_constants[80];

/* A hash in progress. The length counts bytes; nothing here is longer than 2^61 of them. */
typedef struct {
    sha512_compress compress;
    uint64_t state[SHA512_WORDS];
    uint64_t size;
    uint8_t block[SHA512_BLOCK];
} sha512_context;

void sha512_begin(sha512_context *hash, sha512_compress compress);
void sha512_add(sha512_context *hash, const uint8_t *data, size_t size);
void sha512_end(sha512_context *hash, uint8_t digest[SHA512_DIGEST]);

/* The states after the inner and the outer padded key. Wipe it when it is no longer needed. */
typedef struct {
    sha512_compress compress;
    uint64_t inner[SHA512_WORDS];
    uint64_t outer[SHA512_WORDS];
} hkdf_key;

void hkdf_key_set(hkdf_key *key, sha512_compress compress, const uint8_t *secret, size_t size);

/* `size` is 1 to HKDF_MOST. */
void hkdf_expand(const hkdf_key *key, const uint8_t *info, size_t info_size, uint8_t *out, size_t size);

/* Zeros that the compiler may not leave out. */
void sha512_wipe(void *memory, size_t size);

#endif
