/*
 * A Cobblestone-256 blob (C2SP chunked encryption, version 1), derivation and cipher in one call:
 *
 *   aes key(32) || nonce(12) || commitment(32) = HKDF-Expand(key, label || 0x00 || salt(24) || context)
 *   blob = salt || commitment || chunks,    chunk k = AES-256-GCM(aes key, nonce xor k, 16 KiB of the data)
 *
 * The last chunk is shorter than the others, and may be empty.
 */
#ifndef MEDCRYPT_SHA512_BLOB_H
#define MEDCRYPT_SHA512_BLOB_H

#include "../aes/gcm.h"
#include "sha512.h"

enum {
    BLOB_SALT = 24,
    BLOB_COMMITMENT = 32,
    BLOB_HEAD = BLOB_SALT + BLOB_COMMITMENT,
    BLOB_CHUNK = 16384,
};

/* Bytes of the blob that holds `size` bytes. */
size_t blob_size_of(size_t size);

/* 1 when `blob`, of blob_size_of(size) bytes, was written; 0 when memory is short. */
int blob_seal(const struct gcm_kernels *kernels, const hkdf_key *key, const uint8_t salt[BLOB_SALT],
              const uint8_t *context, size_t context_size, const uint8_t *data, size_t size, uint8_t *blob);

/* 1 when the blob, of blob_size_of(size) bytes, is authentic and `data` was written; 0 when it is not, and the
 * data are wiped or untouched; -1 when memory is short. Nothing is decrypted before the commitment was compared. */
int blob_open(const struct gcm_kernels *kernels, const hkdf_key *key, const uint8_t *context,
              size_t context_size, const uint8_t *blob, uint8_t *data, size_t size);

#endif
