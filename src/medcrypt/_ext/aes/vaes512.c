/*
 * AES-256-GCM with VAES and VPCLMULQDQ on 512-bit registers: four blocks in a register, four registers (a
 * group, 256 bytes) in flight, sixteen registers (a stride, 1 KiB) for one reduction.
 *
 * The AES rounds keep one execution port busy and the products of the hash the other, so the two are woven
 * together. Sealing hashes the group before the one it enciphers, opening the same one.
 */
#include "gcm.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { GROUP = 256, GROUP_BLOCKS = 16, GROUPS_IN_STRIDE = GCM_STRIDE / GROUP };

typedef struct {
    __m512i a, b, c, d;
} group;

typedef struct {
    __m512i lo, mid, hi;
} sums; /* lo + mid x^64 + hi x^128, four sums side by side */

typedef struct {
    const __m512i *round_keys; /* in the key: a copy here would end up on the stack */
    __m512i counter;           /* the next four counter blocks, bytes reversed: the counter is the low dword */
    __m512i reversal;          /* shuffle that reverses the bytes of each block */
} cipher;

INLINE __m512i xor2(__m512i a, __m512i b) { return _mm512_xor_si512(a, b); }
INLINE __m512i xor3(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
INLINE __m512i swap_halves(__m512i a) { return _mm512_shuffle_epi32(a, _MM_PERM_BADC); }

INLINE __m128i reversal128(void) {
    return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/* ---- the hash ------------------------------------------------------------------------------------- */

INLINE void accumulate(sums *s, __m512i x, __m512i g) {
    s->lo = xor2(s->lo, _mm512_clmulepi64_epi128(x, g, 0x00));
    s->hi = xor2(s->hi, _mm512_clmulepi64_epi128(x, g, 0x11));
    s->mid = xor3(s->mid, _mm512_clmulepi64_epi128(x, g, 0x01), _mm512_clmulepi64_epi128(x, g, 0x10));
}

/* Four sums reduced, still side by side. */
INLINE __m512i reduce4(sums s) {
    const __m512i c = _mm512_set1_epi64((long long)0xc200000000000000ULL);
    __m512i mid = xor3(s.mid, swap_halves(s.lo), _mm512_clmulepi64_epi128(s.lo, c, 0x00));
    return xor3(s.hi, swap_halves(mid), _mm512_clmulepi64_epi128(mid, c, 0x00));
}

/* Four sums reduced and added up, in the lowest block; the other blocks are zero. */
INLINE __m512i reduce(sums s) {
    __m512i four = reduce4(s);
    __m256i two = _mm256_xor_si256(_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64(four, 1));
    __m128i one = _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
    return _mm512_zextsi128_si512(one);
}

INLINE __m512i multiply(__m512i a, __m512i b) {
    sums s = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    accumulate(&s, a, b);
    return reduce4(s);
}

INLINE sums no_sums(void) {
    sums s = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    return s;
}

/* The powers for the last `blocks` blocks before a reduction. */
INLINE const uint8_t *powers_for(const gcm_key *key, size_t blocks) { return key->powers[GCM_POWERS - blocks]; }

INLINE group reversed(group x, __m512i reversal) {
    group y = {_mm512_shuffle_epi8(x.a, reversal), _mm512_shuffle_epi8(x.b, reversal),
               _mm512_shuffle_epi8(x.c, reversal), _mm512_shuffle_epi8(x.d, reversal)};
    return y;
}

INLINE void accumulate_group(sums *s, group x, const uint8_t *powers) {
    accumulate(s, x.a, _mm512_loadu_si512(powers));
    accumulate(s, x.b, _mm512_loadu_si512(powers + 64));
    accumulate(s, x.c, _mm512_loadu_si512(powers + 128));
    accumulate(s, x.d, _mm512_loadu_si512(powers + 192));
}

/* ---- the cipher ----------------------------------------------------------------------------------- */

/* J_0 with its bytes reversed: the nonce above a 32-bit counter of 1. Read in the pieces that chunk_nonce writes. */
INLINE __m128i first_counter(const uint8_t nonce[GCM_NONCE]) {
    uint64_t high;
    uint32_t low;
    memcpy(&high, nonce, sizeof high);
    memcpy(&low, nonce + sizeof high, sizeof low);
    low = __builtin_bswap32(low);
    return _mm_set_epi64x((long long)__builtin_bswap64(high), (long long)((uint64_t)low << 32 | 1));
}

INLINE cipher start(const gcm_key *key, const uint8_t nonce[GCM_NONCE]) {
    cipher c;
    c.round_keys = (const __m512i *)key->round_keys;
    c.counter = _mm512_add_epi32(_mm512_broadcast_i32x4(first_counter(nonce)),
                                 _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
    c.reversal = _mm512_broadcast_i32x4(reversal128());
    return c;
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
    const __m512i four = _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4);
    group x;
    x.a = c->counter;
    x.b = _mm512_add_epi32(x.a, four);
    x.c = _mm512_add_epi32(x.b, four);
    x.d = _mm512_add_epi32(x.c, four);
    c->counter = _mm512_add_epi32(x.d, four);
    x = reversed(x, c->reversal);
    x.a = xor2(x.a, c->round_keys[0]);
    x.b = xor2(x.b, c->round_keys[0]);
    x.c = xor2(x.c, c->round_keys[0]);
    x.d = xor2(x.d, c->round_keys[0]);
    return x;
}

INLINE group one_round(group x, __m512i k) {
    group y = {_mm512_aesenc_epi128(x.a, k), _mm512_aesenc_epi128(x.b, k), _mm512_aesenc_epi128(x.c, k),
               _mm512_aesenc_epi128(x.d, k)};
    return y;
}

/* data xor the last round: the key of that round takes the data in. */
INLINE group last_round(group x, __m512i k, group data) {
    group y = {_mm512_aesenclast_epi128(x.a, xor2(k, data.a)), _mm512_aesenclast_epi128(x.b, xor2(k, data.b)),
               _mm512_aesenclast_epi128(x.c, xor2(k, data.c)), _mm512_aesenclast_epi128(x.d, xor2(k, data.d))};
    return y;
}

INLINE group encipher(cipher *c, group data) {
    group x = next_counters(c);
    for (int i = 1; i < GCM_ROUNDS; i++) x = one_round(x, c->round_keys[i]);
    return last_round(x, c->round_keys[GCM_ROUNDS], data);
}

/* The same, woven with the hash of another group. */
INLINE group encipher_and_hash(cipher *c, group data, sums *s, group y, const uint8_t *powers) {
    group x = next_counters(c);
    const __m512i *k = c->round_keys;
    x = one_round(x, k[1]);
    x = one_round(x, k[2]);
    accumulate(s, y.a, _mm512_loadu_si512(powers));
    x = one_round(x, k[3]);
    x = one_round(x, k[4]);
    x = one_round(x, k[5]);
    accumulate(s, y.b, _mm512_loadu_si512(powers + 64));
    x = one_round(x, k[6]);
    x = one_round(x, k[7]);
    x = one_round(x, k[8]);
    accumulate(s, y.c, _mm512_loadu_si512(powers + 128));
    x = one_round(x, k[9]);
    x = one_round(x, k[10]);
    x = one_round(x, k[11]);
    accumulate(s, y.d, _mm512_loadu_si512(powers + 192));
    x = one_round(x, k[12]);
    x = one_round(x, k[13]);
    return last_round(x, k[GCM_ROUNDS], data);
}

/* ---- loads and stores ----------------------------------------------------------------------------- */

/*
 * A stride ahead of both streams, the destination for writing: the processor's own prefetcher stops at each page,
 * and on volumes memory is what decides. An address past the end is a hint that comes to nothing.
 */
INLINE void prefetch(const uint8_t *src, const uint8_t *dst) {
    for (int i = 0; i < GROUP; i += 64) {
        __builtin_prefetch((const void *)((uintptr_t)src + GCM_STRIDE + i), 0);
        __builtin_prefetch((const void *)((uintptr_t)dst + GCM_STRIDE + i), 1);
    }
}

/* Memory is read once, and what was read is both hashed and deciphered: somebody else who writes to it at the
 * same time must not have one thing authenticated and another used. Hence the compiler may not read again. */
INLINE group read_once(group x) {
    __asm__ volatile("" : "+v"(x.a), "+v"(x.b), "+v"(x.c), "+v"(x.d));
    return x;
}

INLINE group load(const uint8_t *p) {
    group x = {_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64), _mm512_loadu_si512(p + 128),
               _mm512_loadu_si512(p + 192)};
    return read_once(x);
}

INLINE void store(uint8_t *p, group x) {
    _mm512_storeu_si512(p, x.a);
    _mm512_storeu_si512(p + 64, x.b);
    _mm512_storeu_si512(p + 128, x.c);
    _mm512_storeu_si512(p + 192, x.d);
}

/* The mask of a register whose first byte is `offset` bytes into a group that has `size` bytes left. */
INLINE __mmask64 present(size_t size, size_t offset) {
    if (size <= offset) return 0;
    return size - offset >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (size - offset)) - 1;
}

typedef struct {
    __mmask64 a, b, c, d;
} masks;

INLINE masks present_in_group(size_t size) {
    masks m = {present(size, 0), present(size, 64), present(size, 128), present(size, 192)};
    return m;
}

/* Masked-out bytes are neither read nor written, and count as zeros. */
INLINE group load_some(masks m, const uint8_t *p) {
    group x = {_mm512_maskz_loadu_epi8(m.a, p), _mm512_maskz_loadu_epi8(m.b, p + 64),
               _mm512_maskz_loadu_epi8(m.c, p + 128), _mm512_maskz_loadu_epi8(m.d, p + 192)};
    return read_once(x);
}

INLINE void store_some(masks m, uint8_t *p, group x) {
    _mm512_mask_storeu_epi8(p, m.a, x.a);
    _mm512_mask_storeu_epi8(p + 64, m.b, x.b);
    _mm512_mask_storeu_epi8(p + 128, m.c, x.c);
    _mm512_mask_storeu_epi8(p + 192, m.d, x.d);
}

INLINE group keep(masks m, group x) {
    group y = {_mm512_maskz_mov_epi8(m.a, x.a), _mm512_maskz_mov_epi8(m.b, x.b), _mm512_maskz_mov_epi8(m.c, x.c),
               _mm512_maskz_mov_epi8(m.d, x.d)};
    return y;
}

/* ---- messages ------------------------------------------------------------------------------------- */

/* The registers hold keystream, powers and round keys until somebody needs them. */
INLINE void clear_registers(void) {
    __asm__ volatile(
        "vzeroall\n\t"
        "vpxord %%zmm16, %%zmm16, %%zmm16\n\tvpxord %%zmm17, %%zmm17, %%zmm17\n\t"
        "vpxord %%zmm18, %%zmm18, %%zmm18\n\tvpxord %%zmm19, %%zmm19, %%zmm19\n\t"
        "vpxord %%zmm20, %%zmm20, %%zmm20\n\tvpxord %%zmm21, %%zmm21, %%zmm21\n\t"
        "vpxord %%zmm22, %%zmm22, %%zmm22\n\tvpxord %%zmm23, %%zmm23, %%zmm23\n\t"
        "vpxord %%zmm24, %%zmm24, %%zmm24\n\tvpxord %%zmm25, %%zmm25, %%zmm25\n\t"
        "vpxord %%zmm26, %%zmm26, %%zmm26\n\tvpxord %%zmm27, %%zmm27, %%zmm27\n\t"
        "vpxord %%zmm28, %%zmm28, %%zmm28\n\tvpxord %%zmm29, %%zmm29, %%zmm29\n\t"
        "vpxord %%zmm30, %%zmm30, %%zmm30\n\tvpxord %%zmm31, %%zmm31, %%zmm31"
        :
        :
        : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
          "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
          "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "memory");
}

/* The associated data, padded with zeros: at most a stride for each reduction. */
static __m512i hash_aad(const gcm_key *key, const uint8_t *aad, size_t size) {
    const __m512i reversal = _mm512_broadcast_i32x4(reversal128());
    __m512i y = _mm512_setzero_si512();
    while (size > 0) {
        size_t part = size < GCM_STRIDE ? size : GCM_STRIDE;
        const uint8_t *powers = powers_for(key, (part + GCM_BLOCK - 1) / GCM_BLOCK);
        sums s = no_sums();
        for (size_t at = 0; at < part; at += GROUP) {
            group x = reversed(load_some(present_in_group(part - at), aad + at), reversal);
            x.a = xor2(x.a, y);
            y = _mm512_setzero_si512();
            accumulate_group(&s, x, powers + at);
        }
        y = reduce(s);
        aad += part;
        size -= part;
    }
    return y;
}

/* Whole strides, `strides` > 0. Returns the hash so far. */
INLINE __m512i seal_strides(const gcm_key *key, cipher *c, __m512i y, const uint8_t *src, uint8_t *dst,
                            size_t strides) {
    group before = encipher(c, load(src));
    store(dst, before);
    before = reversed(before, c->reversal);
    before.a = xor2(before.a, y);
    for (;;) {
        const uint8_t *powers = powers_for(key, GCM_STRIDE_BLOCKS);
        sums s = no_sums();
        for (int i = 1; i < GROUPS_IN_STRIDE; i++) {
            src += GROUP;
            dst += GROUP;
            prefetch(src, dst);
            group x = encipher_and_hash(c, load(src), &s, before, powers);
            store(dst, x);
            before = reversed(x, c->reversal);
            powers += GROUP;
        }
        if (--strides == 0) {
            accumulate_group(&s, before, powers);
            return reduce(s);
        }
        src += GROUP;
        dst += GROUP;
        prefetch(src, dst);
        group x = encipher_and_hash(c, load(src), &s, before, powers);
        store(dst, x);
        before = reversed(x, c->reversal);
        before.a = xor2(before.a, reduce(s));
    }
}

INLINE __m512i open_strides(const gcm_key *key, cipher *c, __m512i y, const uint8_t *src, uint8_t *dst,
                            size_t strides) {
    for (; strides > 0; strides--) {
        const uint8_t *powers = powers_for(key, GCM_STRIDE_BLOCKS);
        sums s = no_sums();
        for (int i = 0; i < GROUPS_IN_STRIDE; i++) {
            prefetch(src, dst);
            group data = load(src);
            group x = reversed(data, c->reversal);
            x.a = xor2(x.a, y);
            y = _mm512_setzero_si512();
            store(dst, encipher_and_hash(c, data, &s, x, powers));
            src += GROUP;
            dst += GROUP;
            powers += GROUP;
        }
        y = reduce(s);
    }
    return y;
}

/* The last, incomplete stride (0 to 1023 bytes) and the length block, in one reduction. */
INLINE __m512i finish(const gcm_key *key, cipher *c, __m512i y, const uint8_t *src, uint8_t *dst, size_t size,
                      __m128i lengths, int sealing) {
    const uint8_t *powers = powers_for(key, (size + GCM_BLOCK - 1) / GCM_BLOCK + 1);
    sums s = no_sums();
    for (size_t at = 0; at < size; at += GROUP) {
        masks m = present_in_group(size - at);
        group data = load_some(m, src + at);
        group x = encipher(c, data);
        store_some(m, dst + at, x);
        group hashed = reversed(sealing ? keep(m, x) : data, c->reversal);
        hashed.a = xor2(hashed.a, y);
        y = _mm512_setzero_si512();
        accumulate_group(&s, hashed, powers + at);
    }
    __m128i g1 = _mm_load_si128((const __m128i *)powers_for(key, 1));
    accumulate(&s, xor2(y, _mm512_zextsi128_si512(lengths)), _mm512_zextsi128_si512(g1));
    return reduce(s);
}

INLINE void run(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG], int sealing) {
    cipher c = start(key, message->nonce);
    __m128i mask = encipher_block(key, _mm_shuffle_epi8(first_counter(message->nonce), reversal128()));
    __m128i lengths = _mm_set_epi64x((long long)((uint64_t)message->aad_size * 8),
                                     (long long)((uint64_t)message->size * 8));
    __m512i y = message->aad_size > 0 ? hash_aad(key, message->aad, message->aad_size) : _mm512_setzero_si512();
    size_t strides = message->size / GCM_STRIDE, whole = strides * GCM_STRIDE;
    if (strides > 0)
        y = sealing ? seal_strides(key, &c, y, message->src, message->dst, strides)
                    : open_strides(key, &c, y, message->src, message->dst, strides);
    /* an empty message may come with null pointers, to which nothing may be added */
    const uint8_t *src = whole > 0 ? message->src + whole : message->src;
    uint8_t *dst = whole > 0 ? message->dst + whole : message->dst;
    y = finish(key, &c, y, src, dst, message->size - whole, lengths, sealing);
    __m128i hash = _mm_shuffle_epi8(_mm512_castsi512_si128(y), reversal128());
    _mm_storeu_si128((__m128i *)tag, _mm_xor_si128(hash, mask));
    clear_registers();
}

static void seal_message(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]) {
    run(key, message, tag, 1);
}

static void open_message(const gcm_key *key, const gcm_message *message, uint8_t tag[GCM_TAG]) {
    run(key, message, tag, 0);
}

/* ---- the key -------------------------------------------------------------------------------------- */

/* The AES-NI file expands the key and finds G_4 .. G_1. From G_n .. G_1 follow G_2n .. G_(n+1), each G_n times what is
 * there: the products of one doubling wait for nothing but the doubling before. */
static void expand(gcm_key *key, const uint8_t secret[GCM_KEY]) {
    gcm_aesni_first_powers(key, secret);
    for (size_t n = 4; n < GCM_POWERS; n *= 2) {
        __m512i gn = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)powers_for(key, n)));
        size_t last = 2 * n < GCM_POWERS ? n : GCM_POWERS - n;
        for (size_t i = 4; i <= last; i += 4)
            _mm512_store_si512(key->powers[GCM_POWERS - n - i], multiply(_mm512_load_si512(powers_for(key, i)), gn));
    }
    clear_registers();
}

const struct gcm_kernels gcm_vaes512 = {expand, seal_message, open_message};
