/* Single messages, and runs of chunks: the nonce of chunk k is nonce xor k, and each sealed chunk ends with its
 * tag. */
#include "gcm.h"

/* Every byte is looked at, whatever the earlier ones were. */
static int equal(const uint8_t a[GCM_TAG], const uint8_t b[GCM_TAG]) {
    uint32_t difference = 0;
    for (int i = 0; i < GCM_TAG; i++) difference |= (uint32_t)(a[i] ^ b[i]);
#ifdef __GNUC__
    __asm__ volatile("" : "+r"(difference)); /* the compiler cannot turn the loop into an early exit */
#endif
    return difference == 0;
}

static int open_and_compare(const gcm_key *key, const gcm_message *message, const uint8_t tag[GCM_TAG]) {
    uint8_t expected[GCM_TAG];
    key->kernels->open(key, message, expected);
    int authentic = equal(expected, tag);
    gcm_wipe(expected, sizeof expected); /* the right tag of a forged message is a forgery */
    return authentic;
}

void gcm_seal(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]) {
    key->kernels->seal(key, message, tag);
    gcm_burn_stack();
}

int gcm_open(const gcm_key *key, const gcm_message *message, const uint8_t tag[GCM_TAG]) {
    int authentic = open_and_compare(key, message, tag);
    if (!authentic) gcm_wipe(message->dst, message->size);
    gcm_burn_stack();
    return authentic;
}

/* Big-endian integers. Compilers make one instruction of each, which the kernels count on: see chunk_nonce. */
static uint64_t load32(const uint8_t *p) {
    return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
}

static uint64_t load64(const uint8_t *p) { return load32(p) << 32 | load32(p + 4); }

static void store32(uint8_t *p, uint64_t x) {
    p[0] = (uint8_t)(x >> 24), p[1] = (uint8_t)(x >> 16), p[2] = (uint8_t)(x >> 8), p[3] = (uint8_t)x;
}

static void store64(uint8_t *p, uint64_t x) {
    p[0] = (uint8_t)(x >> 56), p[1] = (uint8_t)(x >> 48), p[2] = (uint8_t)(x >> 40), p[3] = (uint8_t)(x >> 32);
    p[4] = (uint8_t)(x >> 24), p[5] = (uint8_t)(x >> 16), p[6] = (uint8_t)(x >> 8), p[7] = (uint8_t)x;
}

/*
 * out = nonce xor (first + index), as 96-bit big-endian integers. Written as 8 and 4 bytes, and the kernels read it
 * so: a load that spans two stores waits until both are in the cache, behind all of the chunk before.
 */
static void chunk_nonce(uint8_t out[GCM_NONCE], const gcm_chunks *chunks, uint64_t index) {
    uint64_t low = chunks->first_low + index;
    uint64_t high = chunks->first_high + (low < index); /* the carry */
    store64(out, load64(chunks->nonce) ^ (high << 32 | low >> 32));
    store32(out + 8, load32(chunks->nonce + 8) ^ low);
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
        key->kernels->seal(key, &message, dst + message.size);
        src += message.size;
        dst += message.size + GCM_TAG;
    }
    gcm_burn_stack();
}

int gcm_open_chunks(const gcm_key *key, const gcm_chunks *chunks, const uint8_t *src, uint8_t *dst) {
    uint8_t nonce[GCM_NONCE], *start = dst;
    gcm_message message = {.nonce = nonce};
    int authentic = 1;
    for (size_t i = 0; i < chunks->count && authentic; i++) {
        chunk_nonce(nonce, chunks, i);
        message.src = src;
        message.dst = dst;
        message.size = chunk_size(chunks, i);
        authentic = open_and_compare(key, &message, src + message.size);
        src += message.size + GCM_TAG;
        dst += message.size;
    }
    if (!authentic) gcm_wipe(start, (size_t)(dst - start)); /* what follows was not written */
    gcm_burn_stack();
    return authentic;
}
