/* Runs of chunks: the nonce of chunk k is nonce xor k, and each sealed chunk ends with its tag. */
#include "gcm.h"

/* out = nonce xor (first + index), as 96-bit big-endian integers. */
static void chunk_nonce(uint8_t out[GCM_NONCE], const gcm_chunks *chunks, uint64_t index) {
    uint64_t low = chunks->first_low + index;
    uint64_t high = chunks->first_high + (low < index); /* the carry */
    for (int i = 0; i < 4; i++) out[i] = chunks->nonce[i] ^ (uint8_t)(high >> (24 - 8 * i));
    for (int i = 0; i < 8; i++) out[4 + i] = chunks->nonce[4 + i] ^ (uint8_t)(low >> (56 - 8 * i));
}

static size_t chunk_size(const gcm_chunks *chunks, size_t index) {
    return index + 1 == chunks->count ? chunks->last : chunks->chunk;
}

void gcm_seal_chunks(const gcm_key *key, const gcm_chunks *chunks, const uint8_t *src, uint8_t *dst) {
    uint8_t nonce[GCM_NONCE];
    gcm_message message = {.nonce = nonce};
    for (size_t i = 0; i < chunks->count; i++) {
        chunk_nonce(nonce, chunks, i);
        message.src = src;
        message.dst = dst;
        message.size = chunk_size(chunks, i);
        gcm_seal(key, &message, dst + message.size);
        src += message.size;
        dst += message.size + GCM_TAG;
    }
}

int gcm_open_chunks(const gcm_key *key, const gcm_chunks *chunks, const uint8_t *src, uint8_t *dst) {
    uint8_t nonce[GCM_NONCE], *start = dst;
    gcm_message message = {.nonce = nonce};
    for (size_t i = 0; i < chunks->count; i++) {
        chunk_nonce(nonce, chunks, i);
        message.src = src;
        message.dst = dst;
        message.size = chunk_size(chunks, i);
        if (!gcm_open(key, &message, src + message.size)) {
            gcm_wipe(start, (size_t)(dst - start)); /* gcm_open wiped this chunk; the caller, what follows */
            return 0;
        }
        src += message.size + GCM_TAG;
        dst += message.size;
    }
    return 1;
}
