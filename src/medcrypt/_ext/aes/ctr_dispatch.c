/* One place that picks: the table of kernels is chosen once for each key. Here too the counter carries from its
 * low half to its high one, and the last block is cut, so that kernels write whole blocks and add 64-bit numbers. */
#include "ctr.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <malloc.h>
static void *allocate(size_t size) { return _aligned_malloc(size, _Alignof(ctr_key)); }
static void release(void *memory) { _aligned_free(memory); }
#else
static void *allocate(size_t size) { return aligned_alloc(_Alignof(ctr_key), size); }
static void release(void *memory) { free(memory); }
#endif

const struct ctr_kernels *ctr_kernels_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return &ctr_aesni;
    if (strcmp(path, "avx512") == 0) return &ctr_vaes512;
#else
    (void)path;
#endif
    return NULL;
}

/* A call through a volatile pointer might go anywhere, so no compiler leaves it out. */
static void *(*const volatile fill)(void *, int, size_t) = memset;

void ctr_wipe(void *memory, size_t size) {
    if (size > 0) fill(memory, 0, size);
}

/* Zeros over the stack frame of the kernel that has just returned, where the compiler may have put key stream. */
#if defined(__GNUC__)
__attribute__((noinline))
#elif defined(_MSC_VER)
__declspec(noinline)
#endif
static void burn_stack(void) {
    uint8_t frame[CTR_FRAME];
    ctr_wipe(frame, sizeof frame);
}

ctr_key *ctr_key_new(const struct ctr_kernels *kernels, const uint8_t secret[CTR_KEY]) {
#ifdef MEDCRYPT_X86_KERNELS
    ctr_key *key = allocate(sizeof *key);
    if (key == NULL) return NULL;
    key->kernels = kernels;
    ctr_aesni_expand(key, secret);
    burn_stack();
    return key;
#else
    (void)kernels;
    (void)secret;
    (void)allocate;
    return NULL; /* never asked for: there are no kernels */
#endif
}

void ctr_key_free(ctr_key *key) {
    if (key == NULL) return;
    ctr_wipe(key, sizeof *key);
    release(key);
}

/* Whole blocks. At most one carry: no memory holds 2^64 blocks. */
static ctr_counter apply_blocks(const ctr_key *key, ctr_counter next, uint8_t *out, size_t blocks, ctr_use use) {
    uint64_t until_carry = 0 - next.low; /* 0 stands for 2^64 */
    if (until_carry != 0 && until_carry <= blocks) {
        key->kernels->apply(key, next, out, (size_t)until_carry, use);
        next.high += 1;
        next.low = 0;
        out += until_carry * CTR_BLOCK;
        blocks -= (size_t)until_carry;
    }
    key->kernels->apply(key, next, out, blocks, use);
    next.low += blocks;
    return next;
}

void ctr_apply(const ctr_key *key, ctr_counter first, uint8_t *out, size_t size, ctr_use use) {
    size_t blocks = size / CTR_BLOCK, whole = blocks * CTR_BLOCK;
    ctr_counter next = first;
    if (blocks > 0) next = apply_blocks(key, first, out, blocks, use);
    if (size > whole) { /* on a copy that is as long as a block */
        uint8_t last[CTR_BLOCK] = {0};
        memcpy(last, out + whole, size - whole);
        key->kernels->apply(key, next, last, 1, use);
        memcpy(out + whole, last, size - whole);
        ctr_wipe(last, sizeof last);
    }
    burn_stack();
}
