/* HMAC from two prepared states, and HKDF-Expand. */
#include "sha512.h"

#include <string.h>

enum {
    FRAME = 1024, /* more stack than a compression uses */
};

/* Zeros over the frames of the compressions, which held words of the schedule. */
#if defined(__GNUC__)
__attribute__((noinline))
#elif defined(_MSC_VER)
__declspec(noinline)
#endif
static void burn_stack(void) {
    uint8_t frame[FRAME];
    sha512_wipe(frame, sizeof frame);
}

/* The state after the one block of the key xor `pad`. */
static void padded(uint64_t state[SHA512_WORDS], sha512_compress compress, const uint8_t key[SHA512_BLOCK],
                   uint8_t pad) {
    sha512_context hash;
    uint8_t block[SHA512_BLOCK];
    for (int i = 0; i < SHA512_BLOCK; i++) block[i] = key[i] ^ pad;
    sha512_begin(&hash, compress);
    sha512_add(&hash, block, sizeof block);
    memcpy(state, hash.state, sizeof hash.state);
    sha512_wipe(block, sizeof block);
    sha512_wipe(&hash, sizeof hash);
}

void hkdf_key_set(hkdf_key *key, sha512_compress compress, const uint8_t *secret, size_t size) {
    uint8_t block[SHA512_BLOCK] = {0};
    if (size > SHA512_BLOCK) { /* RFC 2104, section 2: a longer key is hashed first */
        sha512_context hash;
        sha512_begin(&hash, compress);
        sha512_add(&hash, secret, size);
        sha512_end(&hash, block);
        sha512_wipe(&hash, sizeof hash);
    } else if (size > 0) {
        memcpy(block, secret, size);
    }
    key->compress = compress;
    padded(key->inner, compress, block, 0x36);
    padded(key->outer, compress, block, 0x5c);
    sha512_wipe(block, sizeof block);
    burn_stack();
}

/* Continue from one of the two states, which has taken one block already. */
static void resume(sha512_context *hash, const hkdf_key *key, const uint64_t state[SHA512_WORDS]) {
    hash->compress = key->compress;
    memcpy(hash->state, state, sizeof hash->state);
    hash->size = SHA512_BLOCK;
}

void hkdf_expand(const hkdf_key *key, const uint8_t *info, size_t info_size, uint8_t *out, size_t size) {
    sha512_context hash;
    uint8_t previous[SHA512_DIGEST];
    size_t previous_size = 0;
    for (uint8_t counter = 1; size > 0; counter++) {
        resume(&hash, key, key->inner);
        sha512_add(&hash, previous, previous_size);
        sha512_add(&hash, info, info_size);
        sha512_add(&hash, &counter, 1);
        sha512_end(&hash, previous);
        resume(&hash, key, key->outer);
        sha512_add(&hash, previous, sizeof previous);
        sha512_end(&hash, previous);
        previous_size = sizeof previous;
        size_t taken = size < sizeof previous ? size : sizeof previous;
        memcpy(out, previous, taken);
        out += taken, size -= taken;
    }
    sha512_wipe(previous, sizeof previous);
    sha512_wipe(&hash, sizeof hash);
    burn_stack();
}
