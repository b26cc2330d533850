/* One place that picks: the table of kernels is chosen once for each key. */
#include "gcm.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <malloc.h>
static void *allocate(size_t size) { return _aligned_malloc(size, _Alignof(gcm_key)); }
static void release(void *memory) { _aligned_free(memory); }
#else
static void *allocate(size_t size) { return aligned_alloc(_Alignof(gcm_key), size); }
static void release(void *memory) { free(memory); }
#endif

const struct gcm_kernels *gcm_kernels_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return &gcm_aesni;
    if (strcmp(path, "avx512") == 0) return &gcm_vaes512;
#else
    (void)path;
#endif
    return NULL;
}

gcm_key *gcm_key_new(const struct gcm_kernels *kernels, const uint8_t secret[GCM_KEY]) {
    gcm_key *key = allocate(sizeof *key);
    if (key == NULL) return NULL;
    gcm_key_set(key, kernels, secret);
    return key;
}

void gcm_key_set(gcm_key *key, const struct gcm_kernels *kernels, const uint8_t secret[GCM_KEY]) {
    memset(key, 0, sizeof *key);
    key->kernels = kernels;
    kernels->expand(key, secret);
    gcm_burn_stack();
}

void gcm_key_free(gcm_key *key) {
    if (key == NULL) return;
    gcm_wipe(key, sizeof *key);
    release(key);
}

/* A call through a volatile pointer might go anywhere, so no compiler leaves it out. */
static void *(*const volatile fill)(void *, int, size_t) = memset;

void gcm_wipe(void *memory, size_t size) {
    if (size > 0) fill(memory, 0, size);
}

#if defined(__GNUC__)
__attribute__((noinline))
#elif defined(_MSC_VER)
__declspec(noinline)
#endif
void gcm_burn_stack(void) {
    uint8_t frame[GCM_FRAME];
    gcm_wipe(frame, sizeof frame);
}
