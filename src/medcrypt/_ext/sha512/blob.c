/* Blobs sealed and opened under keys that live for the call only. */
#include "blob.h"

#include <stdlib.h>
#include <string.h>

static const char LABEL[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM"; /* its final zero counts */

enum {
    INFO_HEAD = sizeof LABEL + BLOB_SALT,
    SHORT_INFO = 512, /* contexts that the stack holds; medcrypt's own have about a hundred bytes */
    KEYS = GCM_KEY + GCM_NONCE + BLOB_COMMITMENT,
};

/* The derived bytes: key, nonce, commitment. 0 when memory is short. */
static int derive(const hkdf_key *key, const uint8_t *salt, const uint8_t *context, size_t context_size,
                  uint8_t keys[KEYS]) {
    uint8_t on_stack[SHORT_INFO];
    size_t size = INFO_HEAD + context_size;
    uint8_t *info = size <= sizeof on_stack ? on_stack : malloc(size);
    if (info == NULL) return 0;
    memcpy(info, LABEL, sizeof LABEL);
    memcpy(info + sizeof LABEL, salt, BLOB_SALT);
    if (context_size > 0) memcpy(info + INFO_HEAD, context, context_size);
    hkdf_expand(key, info, size, keys, KEYS);
    if (info != on_stack) free(info);
    return 1;
}

/* Every byte is looked at, whatever the earlier ones were: the volatile sum allows no early exit. */
static int is_equal(const uint8_t *a, const uint8_t *b, size_t size) {
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < size; i++) difference |= a[i] ^ b[i];
    return difference == 0;
}

static gcm_chunks chunks_of(size_t size, const uint8_t nonce[GCM_NONCE]) {
    gcm_chunks chunks = {.chunk = BLOB_CHUNK, .count = size / BLOB_CHUNK + 1, .last = size % BLOB_CHUNK};
    memcpy(chunks.nonce, nonce, GCM_NONCE);
    return chunks;
}

size_t blob_size_of(size_t size) { return BLOB_HEAD + size + (size / BLOB_CHUNK + 1) * GCM_TAG; }

int blob_seal(const struct gcm_kernels *kernels, const hkdf_key *key, const uint8_t salt[BLOB_SALT],
              const uint8_t *context, size_t context_size, const uint8_t *data, size_t size, uint8_t *blob) {
    uint8_t keys[KEYS];
    gcm_key cipher;
    if (!derive(key, salt, context, context_size, keys)) return 0;
    gcm_key_set(&cipher, kernels, keys);
    gcm_chunks chunks = chunks_of(size, keys + GCM_KEY);
    memcpy(blob, salt, BLOB_SALT);
    memcpy(blob + BLOB_SALT, keys + GCM_KEY + GCM_NONCE, BLOB_COMMITMENT);
    gcm_seal_chunks(&cipher, &chunks, data, blob + BLOB_HEAD);
    gcm_wipe(&cipher, sizeof cipher);
    sha512_wipe(keys, sizeof keys);
    return 1;
}

int blob_open(const struct gcm_kernels *kernels, const hkdf_key *key, const uint8_t *context,
              size_t context_size, const uint8_t *blob, uint8_t *data, size_t size) {
    uint8_t keys[KEYS];
    gcm_key cipher;
    if (!derive(key, blob, context, context_size, keys)) return -1;
    int authentic = is_equal(keys + GCM_KEY + GCM_NONCE, blob + BLOB_SALT, BLOB_COMMITMENT);
    if (authentic) {
        gcm_key_set(&cipher, kernels, keys);
        gcm_chunks chunks = chunks_of(size, keys + GCM_KEY);
        authentic = gcm_open_chunks(&cipher, &chunks, blob + BLOB_HEAD, data);
        if (!authentic) gcm_wipe(data, size); /* the chunks after the bad one, too */
        gcm_wipe(&cipher, sizeof cipher);
    }
    sha512_wipe(keys, sizeof keys);
    return authentic;
}
