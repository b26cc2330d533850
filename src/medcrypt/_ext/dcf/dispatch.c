/* One place that picks, and the blocks of a batch. */
#include "dcf.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <malloc.h>
static void *allocate(size_t size) { return _aligned_malloc(size, _Alignof(dcf_function)); }
static void release(void *memory) { _aligned_free(memory); }
#else
static void *allocate(size_t size) { return aligned_alloc(_Alignof(dcf_function), size); }
static void release(void *memory) { free(memory); }
#endif

const struct dcf_kernels *dcf_kernels_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return &dcf_aesni;
    if (strcmp(path, "avx512") == 0) return &dcf_vaes512;
#else
    (void)path;
#endif
    return NULL;
}

/* A call through a volatile pointer is one that no compiler may leave out. */
static void *(*const volatile fill)(void *, int, size_t) = memset;

void dcf_wipe(void *memory, size_t size) {
    if (size > 0) fill(memory, 0, size);
}

/* The kernels leave seeds in their dead frames, which lie where this one does. (Vector registers are not cleared: what
 * follows overwrites them.) */
#ifdef __GNUC__
__attribute__((noinline))
#endif
static void wipe_dead_frames(void) {
    uint8_t frame[8192];
    dcf_wipe(frame, sizeof frame);
}

size_t dcf_block_size(enum dcf_kind kind, unsigned bits, unsigned payload) {
    const dcf_function function = {.kind = kind, .bits = bits, .payload = payload};
    return DCF_BLOCK * (DCF_SEED + payload) + bits * dcf_level_size(&function);
}

dcf_function *dcf_new(const struct dcf_kernels *kernels, enum dcf_kind kind, unsigned bits, unsigned payload,
                      const uint8_t key[DCF_KEY]) {
#ifdef MEDCRYPT_X86_KERNELS
    dcf_function *function = allocate(sizeof *function);
    if (function == NULL) return NULL;
    function->kernels = kernels;
    function->kind = kind;
    function->bits = bits;
    function->payload = payload;
    dcf_aesni_expand(function, key);
    return function;
#else
    (void)kernels, (void)kind, (void)bits, (void)payload, (void)key, (void)allocate;
    return NULL; /* never asked for: there are no kernels */
#endif
}

void dcf_free(dcf_function *function) {
    if (function != NULL) release(function);
}

static uint64_t below(unsigned bits) { return bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1; }

void dcf_generate(const dcf_function *function, size_t count, const uint64_t *alpha, const uint64_t *beta,
                  const uint8_t *roots, uint8_t *key0, uint8_t *key1) {
    const size_t size = dcf_block_size(function->kind, function->bits, function->payload);
    uint64_t a[DCF_BLOCK], b[DCF_BLOCK];
    uint8_t seeds[DCF_BLOCK][2][DCF_SEED];
    for (size_t first = 0; first < count; first += DCF_BLOCK, key0 += size, key1 += size) {
        for (size_t k = 0; k < DCF_BLOCK; k++) {
            a[k] = first + k < count ? alpha[first + k] & below(function->bits) : 0;
            b[k] = first + k < count ? beta[first + k] & below(8 * function->payload) : 0;
        }
        memcpy(seeds, roots + 2 * DCF_SEED * first, sizeof seeds);
        for (size_t k = 0; k < DCF_BLOCK; k++) {
            seeds[k][0][0] &= 0xFE;
            seeds[k][1][0] &= 0xFE;
        }
        function->kernels->generate(function, a, b, (const uint8_t(*)[2][DCF_SEED])seeds, key0, key1);
    }
    dcf_wipe(a, sizeof a);
    dcf_wipe(b, sizeof b);
    dcf_wipe(seeds, sizeof seeds);
    wipe_dead_frames();
}

void dcf_evaluate(const dcf_function *function, int party, size_t count, const uint8_t *key, const uint64_t *x,
                  uint64_t *values) {
    const size_t size = dcf_block_size(function->kind, function->bits, function->payload);
    const uint64_t kept = below(8 * function->payload);
    uint64_t points[DCF_BLOCK], results[DCF_BLOCK];
    for (size_t first = 0; first < count; first += DCF_BLOCK, key += size) {
        const size_t used = count - first < DCF_BLOCK ? count - first : DCF_BLOCK;
        memset(points, 0, sizeof points);
        memcpy(points, x + first, used * sizeof *x);
        function->kernels->evaluate(function, party, key, points, results);
        for (size_t k = 0; k < used; k++) values[first + k] = results[k] & kept;
    }
    dcf_wipe(results, sizeof results);
    wipe_dead_frames();
}
