/* One place that picks, and what is the same on every path: the order of the passes, and their keys. */
#include "chaos.h"

#include <string.h>

const struct chaos_kernels *chaos_kernels_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return &chaos_avx2;
    if (strcmp(path, "avx512") == 0) return &chaos_avx512;
#else
    (void)path;
#endif
    return &chaos_portable;
}

enum domain { STREAM, ROW_KEYS, SHEARS };

static uint64_t word_at(const uint8_t *row, int w, int lane) {
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) x = x << 8 | row[w * CHAOS_LINE + 8 * lane + i];
    return x;
}

void chaos_prepare(const struct chaos_kernels *kernels, chaos_network *network, const uint64_t seed[CHAOS_NODES],
                   unsigned passes, unsigned steps, size_t size) {
    uint8_t keys[4 * CHAOS_ROW], shears[CHAOS_ROW];
    network->passes = passes;
    network->steps = steps;
    network->rows = size / CHAOS_ROW;
    network->tail = size % CHAOS_ROW;
    for (unsigned q = 0; q < passes; q++) {
        chaos_pass *p = &network->pass[q];
        memset(keys, 0, sizeof keys);
        memset(shears, 0, sizeof shears);
        kernels->stream(seed, CHAOS_STREAM_STEPS, ROW_KEYS, 4 * (uint64_t)q, keys, keys, sizeof keys);
        kernels->stream(seed, CHAOS_STREAM_STEPS, SHEARS, q, shears, shears, sizeof shears);
        memcpy(p->before, keys, CHAOS_ROW);
        memcpy(p->after, keys + CHAOS_ROW, CHAOS_ROW);
        memcpy(p->start, keys + 2 * CHAOS_ROW, CHAOS_ROW);
        memcpy(p->tail, keys + 3 * CHAOS_ROW, CHAOS_ROW);
        for (int w = 0; w < CHAOS_NODES; w++) {
            p->shift[w] = network->rows > 0 ? (size_t)(word_at(shears, w, 0) % network->rows) : 0;
            p->turn[w] = word_at(shears, w, 1) | 1;
            p->turned[w] = word_at(shears, w, 2);
        }
    }
    chaos_wipe(keys, sizeof keys);
    chaos_wipe(shears, sizeof shears);
}

/* G(x xor T) into `out`. */
static void masked(const struct chaos_kernels *kernels, const chaos_network *network, unsigned q, const uint8_t *x,
                   uint8_t out[CHAOS_ROW]) {
    for (size_t i = 0; i < CHAOS_ROW; i++) out[i] = x[i] ^ network->pass[q].tail[i];
    kernels->one_way(network->steps, out, out);
}

/* What the chain of a pass begins with. */
static void begin(const struct chaos_kernels *kernels, const chaos_network *network, unsigned q, const uint8_t *tail,
                  uint8_t v[CHAOS_ROW]) {
    memcpy(v, network->pass[q].start, CHAOS_ROW);
    if (q % 2 == 0 || network->tail == 0) return;
    uint8_t padded[CHAOS_ROW] = {0};
    memcpy(padded, tail, network->tail);
    masked(kernels, network, q, padded, padded);
    for (size_t i = 0; i < CHAOS_ROW; i++) v[i] ^= padded[i];
    chaos_wipe(padded, sizeof padded);
}

/* After an even pass, and before its inverse: `last` is where its chain has ended. */
static void mask_tail(const struct chaos_kernels *kernels, const chaos_network *network, unsigned q,
                      const uint8_t *last, uint8_t *tail) {
    if (q % 2 == 1 || network->tail == 0) return;
    uint8_t mask[CHAOS_ROW];
    masked(kernels, network, q, last, mask);
    for (size_t i = 0; i < network->tail; i++) tail[i] ^= mask[i];
    chaos_wipe(mask, sizeof mask);
}

static const uint8_t *last_row(const chaos_network *network, unsigned q, const uint8_t *rows) {
    return network->rows > 0 ? rows + (network->rows - 1) * CHAOS_ROW : network->pass[q].start;
}

void chaos_seal(const struct chaos_kernels *kernels, const chaos_network *network, const uint8_t *src, uint8_t *spare,
                uint8_t *dst) {
    const size_t whole = network->rows * CHAOS_ROW;
    uint8_t *tail = dst + whole, v[CHAOS_ROW];
    if (network->tail > 0) memcpy(tail, src + whole, network->tail);
    for (unsigned q = 0; q < network->passes; q++) {
        uint8_t *to = (network->passes - q) % 2 == 1 ? dst : spare;
        begin(kernels, network, q, tail, v);
        kernels->pass(network, q, v, src, to);
        mask_tail(kernels, network, q, last_row(network, q, to), tail);
        src = to;
    }
    chaos_wipe(v, sizeof v);
}

void chaos_open(const struct chaos_kernels *kernels, const chaos_network *network, const uint8_t *src, uint8_t *spare,
                uint8_t *dst) {
    const size_t whole = network->rows * CHAOS_ROW;
    uint8_t *tail = dst + whole, v[CHAOS_ROW];
    if (network->tail > 0) memcpy(tail, src + whole, network->tail);
    for (unsigned q = network->passes; q-- > 0;) {
        uint8_t *to = q % 2 == 0 ? dst : spare;
        mask_tail(kernels, network, q, last_row(network, q, src), tail);
        begin(kernels, network, q, tail, v);
        kernels->unpass(network, q, v, src, to);
        src = to;
    }
    chaos_wipe(v, sizeof v);
}

/* A call through a volatile pointer might go anywhere, so no compiler leaves it out. */
static void *(*const volatile fill)(void *, int, size_t) = memset;

void chaos_wipe(void *memory, size_t size) {
    if (size > 0) fill(memory, 0, size);
}
