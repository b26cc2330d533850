/*
 * AES-256-GCM with AES-NI and PCLMULQDQ on 128-bit registers (VEX encoded): eight blocks, a group, in flight,
 * eight groups (a stride, 1 KiB) for one reduction.
 *
 * As in vaes512.c the rounds of one group are woven with the hash of another: the group before when sealing,
 * the same one when opening.
 */
#include "gcm.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, GROUP = LANES * GCM_BLOCK, GROUPS_IN_STRIDE = GCM_STRIDE / GROUP };

typedef struct {
    __m128i block[LANES];
} group;

typedef struct {
    __m128i lo, mid, hi;
} sums; /* lo + mid x^64 + hi x^128 */

typedef struct {
    const gcm_key *key;
    __m128i counter; /* the next counter block, bytes reversed: the counter is the low dword */
} cipher;

INLINE __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE void store(uint8_t *p, __m128i x) { _mm_storeu_si128((__m128i *)p, x); }
INLINE __m128i swap_halves(__m128i a) { return _mm_shuffle_epi32(a, 0x4e); }

INLINE __m128i reversed(__m128i x) {
    return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* ---- the hash ------------------------------------------------------------------------------------- */

INLINE sums no_sums(void) {
    sums s = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    return s;
}

INLINE void accumulate(sums *s, __m128i x, __m128i g) {
    s->lo = _mm_xor_si128(s->lo, _mm_clmulepi64_si128(x, g, 0x00));
    s->hi = _mm_xor_si128(s->hi, _mm_clmulepi64_si128(x, g, 0x11));
    s->mid = _mm_xor_si128(s->mid, _mm_clmulepi64_si128(x, g, 0x01));
    s->mid = _mm_xor_si128(s->mid, _mm_clmulepi64_si128(x, g, 0x10));
}

INLINE __m128i reduce(sums s) {
    const __m128i c = _mm_set1_epi64x((long long)0xc200000000000000ULL);
    __m128i mid = _mm_xor_si128(_mm_xor_si128(s.mid, swap_halves(s.lo)), _mm_clmulepi64_si128(s.lo, c, 0x00));
    return _mm_xor_si128(_mm_xor_si128(s.hi, swap_halves(mid)), _mm_clmulepi64_si128(mid, c, 0x00));
}

INLINE __m128i multiply(__m128i a, __m128i b) {
    sums s = no_sums();
    accumulate(&s, a, b);
    return reduce(s);
}

/* The powers for the last `blocks` blocks before a reduction. */
INLINE const uint8_t *powers_for(const gcm_key *key, size_t blocks) { return key->powers[GCM_POWERS - blocks]; }

/* Block j of a group; y goes into the first. */
INLINE void accumulate_block(sums *s, __m128i y, group x, int j, const uint8_t *powers) {
    __m128i block = reversed(x.block[j]);
    if (j == 0) block = _mm_xor_si128(block, y);
    accumulate(s, block, load(powers + GCM_BLOCK * j));
}

INLINE void accumulate_group(sums *s, __m128i y, group x, const uint8_t *powers) {
    for (int j = 0; j < LANES; j++) accumulate_block(s, y, x, j, powers);
}

/* ---- the cipher ----------------------------------------------------------------------------------- */

/* J_0 with its bytes reversed: the nonce above a 32-bit counter of 1. Put together in registers: a load that
 * spans two younger stores would stall. */
INLINE __m128i first_counter(const uint8_t nonce[GCM_NONCE]) {
    uint64_t head;
    uint32_t tail;
    memcpy(&head, nonce, 8);
    memcpy(&tail, nonce + 8, 4);
    return reversed(_mm_set_epi64x((long long)(UINT64_C(1) << 56 | tail), (long long)head));
}

INLINE __m128i round_key(const gcm_key *key, int round) {
    return _mm_load_si128((const __m128i *)key->round_keys[round]);
}

INLINE __m128i encipher_block(const gcm_key *key, __m128i x) {
    x = _mm_xor_si128(x, round_key(key, 0));
    for (int i = 1; i < GCM_ROUNDS; i++) x = _mm_aesenc_si128(x, round_key(key, i));
    return _mm_aesenclast_si128(x, round_key(key, GCM_ROUNDS));
}

INLINE group next_counters(cipher *c) {
    const __m128i one = _mm_set_epi32(0, 0, 0, 1);
    group x;
    for (int j = 0; j < LANES; j++) {
        x.block[j] = _mm_xor_si128(reversed(c->counter), round_key(c->key, 0));
        c->counter = _mm_add_epi32(c->counter, one);
    }
    return x;
}

INLINE group one_round(group x, __m128i k) {
    for (int j = 0; j < LANES; j++) x.block[j] = _mm_aesenc_si128(x.block[j], k);
    return x;
}

/* data xor the last round: the key of that round takes the data in. */
INLINE group last_round(group x, __m128i k, group data) {
    for (int j = 0; j < LANES; j++)
        x.block[j] = _mm_aesenclast_si128(x.block[j], _mm_xor_si128(k, data.block[j]));
    return x;
}

INLINE group encipher(cipher *c, group data) {
    group x = next_counters(c);
    for (int i = 1; i < GCM_ROUNDS; i++) x = one_round(x, round_key(c->key, i));
    return last_round(x, round_key(c->key, GCM_ROUNDS), data);
}

/* The same, woven with the hash of another group: one product after each of the rounds 1 to 8. */
INLINE group encipher_and_hash(cipher *c, group data, sums *s, __m128i y, group hashed, const uint8_t *powers) {
    group x = next_counters(c);
#pragma GCC unroll 13
    for (int i = 1; i < GCM_ROUNDS; i++) {
        x = one_round(x, round_key(c->key, i));
        if (i <= LANES) accumulate_block(s, y, hashed, i - 1, powers);
    }
    return last_round(x, round_key(c->key, GCM_ROUNDS), data);
}

/* ---- loads and stores ----------------------------------------------------------------------------- */

/* A stride ahead of both streams, as in vaes512.c. */
INLINE void prefetch(const uint8_t *src, const uint8_t *dst) {
    for (int i = 0; i < GROUP; i += 64) {
        __builtin_prefetch((const void *)((uintptr_t)src + GCM_STRIDE + i), 0);
        __builtin_prefetch((const void *)((uintptr_t)dst + GCM_STRIDE + i), 1);
    }
}

/* Memory is read once, and what was read is both hashed and deciphered: somebody else who writes to it at the
 * same time must not have one thing authenticated and another used. Hence the compiler may not read again. */
INLINE group load_group(const uint8_t *p) {
    group x;
    for (int j = 0; j < LANES; j++) {
        x.block[j] = load(p + GCM_BLOCK * j);
        __asm__ volatile("" : "+x"(x.block[j]));
    }
    return x;
}

INLINE void store_group(uint8_t *p, group x) {
    for (int j = 0; j < LANES; j++) store(p + GCM_BLOCK * j, x.block[j]);
}

/* ---- messages ------------------------------------------------------------------------------------- */

INLINE size_t at_most(size_t size, size_t limit) { return size < limit ? size : limit; }

/* A block of at most 16 bytes, padded with zeros. */
static __m128i padded(const uint8_t *p, size_t size) {
    uint8_t block[GCM_BLOCK] = {0};
    memcpy(block, p, size);
    return load(block);
}

/* The associated data, padded with zeros: at most a stride for each reduction. */
static __m128i hash_aad(const gcm_key *key, const uint8_t *aad, size_t size) {
    __m128i y = _mm_setzero_si128();
    while (size > 0) {
        size_t part = at_most(size, GCM_STRIDE);
        const uint8_t *powers = powers_for(key, (part + GCM_BLOCK - 1) / GCM_BLOCK);
        sums s = no_sums();
        for (size_t at = 0; at < part; at += GCM_BLOCK) {
            const size_t left = part - at;
            const __m128i x = left >= GCM_BLOCK ? load(aad + at) : padded(aad + at, left);
            accumulate(&s, _mm_xor_si128(reversed(x), y), load(powers + at));
            y = _mm_setzero_si128();
        }
        y = reduce(s);
        aad += part;
        size -= part;
    }
    return y;
}

/* Whole strides, `strides` > 0. Returns the hash so far. */
INLINE __m128i seal_strides(const gcm_key *key, cipher *c, __m128i y, const uint8_t *src, uint8_t *dst,
                            size_t strides) {
    const uint8_t *powers = powers_for(key, GCM_STRIDE_BLOCKS);
    size_t groups = strides * GROUPS_IN_STRIDE;
    sums s = no_sums();
    group before = encipher(c, load_group(src));
    store_group(dst, before);
    for (size_t i = 1; i < groups; i++) {
        src += GROUP;
        dst += GROUP;
        prefetch(src, dst);
        before = encipher_and_hash(c, load_group(src), &s, y, before, powers);
        store_group(dst, before);
        y = _mm_setzero_si128();
        powers += GROUP;
        if (i % GROUPS_IN_STRIDE == 0) {
            y = reduce(s);
            s = no_sums();
            powers = powers_for(key, GCM_STRIDE_BLOCKS);
        }
    }
    accumulate_group(&s, y, before, powers);
    return reduce(s);
}

INLINE __m128i open_strides(const gcm_key *key, cipher *c, __m128i y, const uint8_t *src, uint8_t *dst,
                            size_t strides) {
    for (; strides > 0; strides--) {
        const uint8_t *powers = powers_for(key, GCM_STRIDE_BLOCKS);
        sums s = no_sums();
        for (int i = 0; i < GROUPS_IN_STRIDE; i++) {
            prefetch(src, dst);
            group data = load_group(src);
            store_group(dst, encipher_and_hash(c, data, &s, y, data, powers));
            y = _mm_setzero_si128();
            src += GROUP;
            dst += GROUP;
            powers += GROUP;
        }
        y = reduce(s);
    }
    return y;
}

/*
 * The last, incomplete stride (0 to 1023 bytes) and the length block, in one reduction. Groups pass through a
 * buffer padded with zeros, so nothing outside the message is read or written.
 */
INLINE __m128i finish(const gcm_key *key, cipher *c, __m128i y, const uint8_t *src, uint8_t *dst, size_t size,
                      __m128i lengths, int sealing) {
    const uint8_t *powers = powers_for(key, (size + GCM_BLOCK - 1) / GCM_BLOCK + 1);
    uint8_t data[GROUP], result[GROUP];
    sums s = no_sums();
    for (size_t at = 0; at < size; at += GROUP) {
        size_t part = at_most(size - at, GROUP);
        memcpy(data, src + at, part);
        memset(data + part, 0, GROUP - part);
        store_group(result, encipher(c, load_group(data)));
        memcpy(dst + at, result, part);
        memset(result + part, 0, GROUP - part);
        accumulate_group(&s, y, load_group(sealing ? result : data), powers + at);
        y = _mm_setzero_si128();
    }
    if (size > 0) {
        gcm_wipe(data, sizeof data);
        gcm_wipe(result, sizeof result);
    }
    accumulate(&s, _mm_xor_si128(y, lengths), load(powers_for(key, 1)));
    return reduce(s);
}

INLINE void run(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG], int sealing) {
    __m128i j0 = first_counter(message->nonce);
    cipher c = {key, _mm_add_epi32(j0, _mm_set_epi32(0, 0, 0, 1))};
    __m128i mask = encipher_block(key, reversed(j0));
    __m128i lengths = _mm_set_epi64x((long long)((uint64_t)message->aad_size * 8),
                                     (long long)((uint64_t)message->size * 8));
    __m128i y = hash_aad(key, message->aad, message->aad_size);
    size_t strides = message->size / GCM_STRIDE, whole = strides * GCM_STRIDE;
    if (strides > 0)
        y = sealing ? seal_strides(key, &c, y, message->src, message->dst, strides)
                    : open_strides(key, &c, y, message->src, message->dst, strides);
    /* an empty message may come with null pointers, to which nothing may be added */
    const uint8_t *src = whole > 0 ? message->src + whole : message->src;
    uint8_t *dst = whole > 0 ? message->dst + whole : message->dst;
    y = finish(key, &c, y, src, dst, message->size - whole, lengths, sealing);
    store(tag, _mm_xor_si128(reversed(y), mask));
    _mm256_zeroall(); /* keystream, powers and round keys */
}

static void seal_message(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]) {
    run(key, message, tag, 1);
}

static void open_message(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]) {
    run(key, message, tag, 0);
}

/* ---- the key -------------------------------------------------------------------------------------- */

/* x ^ (x << 32) ^ (x << 64) ^ (x << 96): the running sum of the four words of a round key. */
INLINE __m128i running_sum(__m128i x) {
    x = _mm_xor_si128(x, _mm_slli_si128(x, 4));
    return _mm_xor_si128(x, _mm_slli_si128(x, 8));
}

/* Two round keys from the two before (FIPS 197, 5.2, Nk = 8): `even` takes RotWord, SubWord and the round
 * constant, `odd` SubWord alone. The constant has to be an immediate. */
#define EXPAND_PAIR(keys, i, constant)                                                                        \
    do {                                                                                                      \
        __m128i t = _mm_shuffle_epi32(_mm_aeskeygenassist_si128((keys)[(i) - 1], (constant)), 0xff);          \
        (keys)[(i)] = _mm_xor_si128(running_sum((keys)[(i) - 2]), t);                                         \
        if ((i) < GCM_ROUNDS) {                                                                               \
            t = _mm_shuffle_epi32(_mm_aeskeygenassist_si128((keys)[(i)], 0), 0xaa);                           \
            (keys)[(i) + 1] = _mm_xor_si128(running_sum((keys)[(i) - 1]), t);                                 \
        }                                                                                                     \
    } while (0)

static void expand_round_keys(gcm_key *key, const uint8_t secret[GCM_KEY]) {
    __m128i k[GCM_ROUNDS + 1];
    k[0] = load(secret);
    k[1] = load(secret + GCM_BLOCK);
    EXPAND_PAIR(k, 2, 0x01);
    EXPAND_PAIR(k, 4, 0x02);
    EXPAND_PAIR(k, 6, 0x04);
    EXPAND_PAIR(k, 8, 0x08);
    EXPAND_PAIR(k, 10, 0x10);
    EXPAND_PAIR(k, 12, 0x20);
    EXPAND_PAIR(k, 14, 0x40);
    for (int i = 0; i <= GCM_ROUNDS; i++)
        for (int copy = 0; copy < GCM_WIDTH; copy += GCM_BLOCK) store(key->round_keys[i] + copy, k[i]);
    gcm_wipe(k, sizeof k);
}

/* x . reversed(H): a shift by one bit, and the modulus where a bit falls out (by mask, not by branch). */
static __m128i first_power(const gcm_key *key) {
    __m128i h = reversed(encipher_block(key, _mm_setzero_si128()));
    uint64_t low = (uint64_t)_mm_cvtsi128_si64(h), high = (uint64_t)_mm_extract_epi64(h, 1);
    uint64_t out = 0 - (high >> 63);
    high = (high << 1 | low >> 63) ^ (out & 0xc200000000000000ULL);
    low = low << 1 ^ (out & 1);
    return _mm_set_epi64x((long long)high, (long long)low);
}

void gcm_aesni_first_powers(gcm_key *key, const uint8_t secret[GCM_KEY]) {
    expand_round_keys(key, secret);
    __m128i g1 = first_power(key), g2 = multiply(g1, g1);
    store(key->powers[GCM_POWERS - 1], g1);
    store(key->powers[GCM_POWERS - 2], g2);
    store(key->powers[GCM_POWERS - 3], multiply(g2, g1));
    store(key->powers[GCM_POWERS - 4], multiply(g2, g2));
}

/* Four independent products at a time keep the multiplier busy. */
static void expand(gcm_key *key, const uint8_t secret[GCM_KEY]) {
    gcm_aesni_first_powers(key, secret);
    __m128i g4 = load(powers_for(key, 4));
    for (size_t n = 5; n <= GCM_POWERS; n++)
        store(key->powers[GCM_POWERS - n], multiply(load(powers_for(key, n - 4)), g4));
}

const struct gcm_kernels gcm_aesni = {expand, seal_message, open_message};
