/* The key stream with AES-NI on 128-bit registers (VEX encoded), eight blocks in flight; and the key schedule. */
#include "ctr.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8 };

INLINE __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE void store(uint8_t *p, __m128i x) { _mm_storeu_si128((__m128i *)p, x); }

INLINE __m128i round_key(const ctr_key *key, int round) {
    return _mm_load_si128((const __m128i *)key->round_keys[round]);
}

/* The block of a counter that lies in the register as a little-endian number. */
INLINE __m128i big_endian(__m128i x) {
    return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* The words of `out` after the key stream `x` was used on them: `use` is a constant. */
INLINE __m128i used(__m128i out, __m128i x, ctr_use use) {
    switch (use) {
    case CTR_ADD_32: return _mm_add_epi32(out, x);
    case CTR_SUBTRACT_32: return _mm_sub_epi32(out, x);
    case CTR_ADD_64: return _mm_add_epi64(out, x);
    case CTR_SUBTRACT_64: return _mm_sub_epi64(out, x);
    default: return x;
    }
}

INLINE void use_block(uint8_t *out, __m128i x, ctr_use use) {
    store(out, used(use == CTR_WRITE ? x : load(out), x, use));
}

/* `n` blocks, a constant: the loops unroll and the blocks live in registers. */
INLINE void apply_group(const ctr_key *key, __m128i counter, uint8_t *out, int n, ctr_use use) {
    __m128i x[LANES];
    for (int j = 0; j < n; j++)
        x[j] = _mm_xor_si128(big_endian(_mm_add_epi64(counter, _mm_set_epi64x(0, j))), round_key(key, 0));
    for (int i = 1; i < CTR_ROUNDS; i++)
        for (int j = 0; j < n; j++) x[j] = _mm_aesenc_si128(x[j], round_key(key, i));
    for (int j = 0; j < n; j++)
        use_block(out + CTR_BLOCK * j, _mm_aesenclast_si128(x[j], round_key(key, CTR_ROUNDS)), use);
}

INLINE void run(const ctr_key *key, ctr_counter first, uint8_t *out, size_t blocks, ctr_use use) {
    __m128i counter = _mm_set_epi64x((long long)first.high, (long long)first.low);
    for (; blocks >= LANES; blocks -= LANES) {
        apply_group(key, counter, out, LANES, use);
        counter = _mm_add_epi64(counter, _mm_set_epi64x(0, LANES));
        out += LANES * CTR_BLOCK;
    }
    for (; blocks > 0; blocks--) {
        apply_group(key, counter, out, 1, use);
        counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 1));
        out += CTR_BLOCK;
    }
    _mm256_zeroall(); /* key stream and round keys */
}

static void apply(const ctr_key *key, ctr_counter first, uint8_t *out, size_t blocks, ctr_use use) {
    switch (use) {
    case CTR_WRITE: run(key, first, out, blocks, CTR_WRITE); break;
    case CTR_ADD_32: run(key, first, out, blocks, CTR_ADD_32); break;
    case CTR_SUBTRACT_32: run(key, first, out, blocks, CTR_SUBTRACT_32); break;
    case CTR_ADD_64: run(key, first, out, blocks, CTR_ADD_64); break;
    case CTR_SUBTRACT_64: run(key, first, out, blocks, CTR_SUBTRACT_64); break;
    }
}

/* ---- the key -------------------------------------------------------------------------------------- */

/* x ^ (x << 32) ^ (x << 64) ^ (x << 96): the running sum of the four words of a round key. */
INLINE __m128i running_sum(__m128i x) {
    x = _mm_xor_si128(x, _mm_slli_si128(x, 4));
    return _mm_xor_si128(x, _mm_slli_si128(x, 8));
}

/* SubWord of the last word of x, in all four places, xor `constant`. In a state whose columns are alike ShiftRows
 * changes nothing, so the last round of the cipher is SubWord and the addition of a key. */
INLINE __m128i substituted(__m128i x, __m128i constant) {
    return _mm_aesenclast_si128(_mm_shuffle_epi32(x, 0xff), constant);
}

INLINE __m128i rotated_words(__m128i x) { return _mm_or_si128(_mm_srli_epi32(x, 8), _mm_slli_epi32(x, 24)); }

/* FIPS 197, 5.2, Nk = 8. Two round keys at a time: the first with RotWord and the round constant 2^j. */
void ctr_aesni_expand(ctr_key *key, const uint8_t secret[CTR_KEY]) {
    __m128i k[CTR_ROUNDS + 2];
    k[0] = load(secret);
    k[1] = load(secret + CTR_BLOCK);
    for (int j = 0; j < CTR_ROUNDS / 2; j++) {
        __m128i *next = k + 2 * j + 2;
        next[0] = _mm_xor_si128(running_sum(next[-2]), substituted(rotated_words(next[-1]), _mm_set1_epi32(1 << j)));
        next[1] = _mm_xor_si128(running_sum(next[-1]), substituted(next[0], _mm_setzero_si128()));
    }
    for (int i = 0; i <= CTR_ROUNDS; i++)
        for (int copy = 0; copy < CTR_WIDTH; copy += CTR_BLOCK) store(key->round_keys[i] + copy, k[i]);
    ctr_wipe(k, sizeof k);
    _mm256_zeroall();
}

const struct ctr_kernels ctr_aesni = {apply};
