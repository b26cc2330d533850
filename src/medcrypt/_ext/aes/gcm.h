/*
 * AES-256-GCM (NIST SP 800-38D) for 12-byte nonces.
 *
 *   H      = AES_K(0^128)                     J_0 = nonce || 1 (32 bits, big-endian)
 *   C_i    = P_i xor AES_K(J_0 + i)           i = 1, 2, ...: only the last 32 bits count
 *   Y_0    = 0
 *   Y_i    = (Y_{i-1} xor X_i) . H            over A, C (each padded with zeros) and the length block
 *   T      = Y_m xor AES_K(J_0)
 *
 * The hash, as the kernels compute it. Reverse the bytes of a block and GCM's reflected field becomes
 * POLYVAL's (RFC 8452, appendix A): polynomials modulo x^128 + x^127 + x^126 + x^121 + 1 with
 *
 *   a . b  = a b x^-128,     G_1 = x . reversed(H),     G_i = G_{i-1} . G_1
 *   Y_n    = (Y_0 xor X_1) . G_n  xor  X_2 . G_{n-1}  xor ... xor  X_n . G_1
 *
 * so a stride of n blocks needs n carry-less products, summed unreduced, and one reduction. The sum is
 * kept as lo + mid x^64 + hi x^128, and the modulus is 1 + c x^64 + x^128 with c = x^63 + x^62 + x^57,
 * so adding a multiple of it clears 64 low bits at a time (Montgomery):
 *
 *   mid   ^= swap(lo)  xor  lo_low  c
 *   hi    ^= swap(mid) xor  mid_low c         result: hi,  swap exchanging the two 64-bit halves
 *
 * Everything that depends on a secret is straight-line code: branches and addresses follow the lengths.
 */
#ifndef MEDCRYPT_AES_GCM_H
#define MEDCRYPT_AES_GCM_H

#include <stddef.h>
#include <stdint.h>

enum {
    GCM_BLOCK = 16,
    GCM_NONCE = 12,
    GCM_TAG = 16,
    GCM_KEY = 32,
    GCM_ROUNDS = 14,
    GCM_WIDTH = 64,         /* bytes of a zmm register */
    GCM_STRIDE_BLOCKS = 64, /* blocks for one reduction; 1 KiB divides the 16 KiB chunk */
    GCM_STRIDE = GCM_STRIDE_BLOCKS * GCM_BLOCK,
    GCM_POWERS = 68, /* a tail of 64 blocks and the length block needs G_65; rounded up to whole zmm */
    GCM_POWERS_SPARE = 16, /* zeros that the last, partly empty group of a tail may read */
    GCM_FRAME = 1536,      /* more stack than any kernel uses */
};

/* 2^39 - 256 bits (SP 800-38D, 5.2.1.1): the 32-bit counter runs from 2 to 2^32 - 1 and never wraps. */
#define GCM_MAX_MESSAGE ((UINT64_C(1) << 36) - 32)

struct gcm_kernels;

/*
 * Everything derived from a key. Descending powers: powers[i] = G_(68 - i), so that the powers for n blocks
 * are the n entries that end at powers[68]; G_64, where full strides begin, is 64-byte aligned. Each round key
 * fills a register of the widest kind: kernels use it where it lies, and no copy is left on the stack.
 */
typedef struct {
    _Alignas(64) uint8_t powers[GCM_POWERS + GCM_POWERS_SPARE][GCM_BLOCK];
    _Alignas(64) uint8_t round_keys[GCM_ROUNDS + 1][GCM_WIDTH];
    const struct gcm_kernels *kernels;
} gcm_key;

/* A message being processed. `aad_size` is below 2^61 and `size` at most GCM_MAX_MESSAGE. */
typedef struct {
    const uint8_t *nonce; /* 12 bytes */
    const uint8_t *aad;
    size_t aad_size;
    const uint8_t *src;
    uint8_t *dst; /* does not overlap src */
    size_t size;
} gcm_message;

/* One implementation. `seal` and `open` write `size` bytes to dst and the message's tag to `tag`. */
struct gcm_kernels {
    void (*expand)(gcm_key *key, const uint8_t secret[GCM_KEY]);
    void (*seal)(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]);
    void (*open)(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]);
};

extern const struct gcm_kernels gcm_aesni;
extern const struct gcm_kernels gcm_vaes512;

/* Of the AES-NI file, for both: the round keys and G_4 ... G_1. */
void gcm_aesni_first_powers(gcm_key *key, const uint8_t secret[GCM_KEY]);

/* The kernels of a path ("avx2", "avx512"), or NULL where this build has none. Call it only for a path that
 * the processor can run. */
const struct gcm_kernels *gcm_kernels_of(const char *path);

/* NULL when memory is short. The key is wiped by gcm_key_free, which takes NULL. */
gcm_key *gcm_key_new(const struct gcm_kernels *kernels, const uint8_t secret[GCM_KEY]);
void gcm_key_free(gcm_key *key);

/* The same where the caller has the memory, and wipes it. */
void gcm_key_set(gcm_key *key, const struct gcm_kernels *kernels, const uint8_t secret[GCM_KEY]);

/* Ciphertext to message->dst and the tag to `tag`. */
void gcm_seal(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]);

/* 1 when `tag` authenticates the message; otherwise 0, and message->dst is wiped. */
int gcm_open(const gcm_key *key, const gcm_message *message, const uint8_t tag[GCM_TAG]);

/* A run of chunks: chunk k, counted from `first`, has the nonce `nonce xor k` (96 bits, big-endian) and no
 * associated data. Sealed chunks lie one after another, each followed by its tag. */
typedef struct {
    uint8_t nonce[GCM_NONCE];
    uint64_t first_high, first_low; /* first = high 2^64 + low, below 2^96, as is the last number */
    size_t chunk;                   /* plaintext bytes of every chunk but the last */
    size_t count;                   /* chunks, the last one included */
    size_t last;                    /* plaintext bytes of the last chunk */
} gcm_chunks;

void gcm_seal_chunks(const gcm_key *key, const gcm_chunks *chunks, const uint8_t *src, uint8_t *dst);

/* 1 when every chunk is authentic; otherwise 0, and all that was written to dst is wiped. */
int gcm_open_chunks(const gcm_key *key, const gcm_chunks *chunks, const uint8_t *src, uint8_t *dst);

/* Zeros that the compiler may not leave out. */
void gcm_wipe(void *memory, size_t size);

/* Zeros over the stack frame of the kernel that has just returned, where the compiler may have put keystream. */
void gcm_burn_stack(void);

#endif
