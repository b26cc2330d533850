/* One seed in a register, eight trees interleaved. */
#include "dcf.h"

#include <immintrin.h>
#include <string.h>

enum { GROUP = 8 };

#define INLINE static inline __attribute__((always_inline))

INLINE __m128i lowest_bit(void) { return _mm_set_epi64x(0, 1); }

/* Round keys of AES-128 (FIPS 197, 5.2): w_i = w_{i-4} xor f(w_{i-1}). */
INLINE __m128i next_round_key(__m128i key, __m128i assisted) {
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, _mm_shuffle_epi32(assisted, 0xFF));
}

void dcf_aesni_expand(dcf_function *function, const uint8_t key[DCF_KEY]) {
    __m128i keys[DCF_ROUNDS + 1];
    keys[0] = _mm_loadu_si128((const __m128i *)key);
#define ROUND(i, constant) keys[i] = next_round_key(keys[i - 1], _mm_aeskeygenassist_si128(keys[i - 1], constant))
    ROUND(1, 0x01);
    ROUND(2, 0x02);
    ROUND(3, 0x04);
    ROUND(4, 0x08);
    ROUND(5, 0x10);
    ROUND(6, 0x20);
    ROUND(7, 0x40);
    ROUND(8, 0x80);
    ROUND(9, 0x1B);
    ROUND(10, 0x36);
#undef ROUND
    for (int i = 0; i <= DCF_ROUNDS; i++)
        for (int copy = 0; copy < DCF_WIDTH; copy += 16)
            _mm_store_si128((__m128i *)(function->round_keys[i] + copy), keys[i]);
}

INLINE void hash(const dcf_function *function, __m128i *state, size_t count) {
    __m128i input[GROUP];
    __m128i round_key = _mm_load_si128((const __m128i *)function->round_keys[0]);
    for (size_t i = 0; i < count; i++) {
        input[i] = state[i];
        state[i] = _mm_xor_si128(state[i], round_key);
    }
    for (int round = 1; round < DCF_ROUNDS; round++) {
        round_key = _mm_load_si128((const __m128i *)function->round_keys[round]);
        for (size_t i = 0; i < count; i++) state[i] = _mm_aesenc_si128(state[i], round_key);
    }
    round_key = _mm_load_si128((const __m128i *)function->round_keys[DCF_ROUNDS]);
    for (size_t i = 0; i < count; i++)
        state[i] = _mm_xor_si128(_mm_aesenclast_si128(state[i], round_key), input[i]);
}

/* All ones where a bit is set. */
INLINE __m128i mask_of(uint64_t bit) { return _mm_set1_epi64x(-(long long)(bit & 1)); }

INLINE uint64_t low_half(__m128i a) { return (uint64_t)_mm_cvtsi128_si64(a); }

INLINE uint64_t high_half(__m128i a) { return (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(a, a)); }

INLINE uint64_t load_value(const uint8_t *from, unsigned payload) {
    uint64_t value = 0;
    memcpy(&value, from, payload);
    return value;
}

INLINE uint64_t bit_of(uint64_t number, unsigned bits, unsigned level) { return number >> (bits - 1 - level) & 1; }

INLINE void evaluate_group(const dcf_function *function, int party, const uint8_t *key, size_t from,
                           const uint64_t x[DCF_BLOCK], uint64_t values[DCF_BLOCK], const enum dcf_kind kind,
                           const unsigned payload) {
    __m128i seeds[GROUP], next[GROUP], edges[GROUP];
    uint64_t t[GROUP], sums[GROUP] = {0};
    for (size_t k = 0; k < GROUP; k++) {
        seeds[k] = _mm_loadu_si128((const __m128i *)(key + (from + k) * DCF_SEED));
        t[k] = (uint64_t)party;
    }
    key += DCF_BLOCK * DCF_SEED;
    for (unsigned level = 0; level < function->bits; level++) {
        const uint8_t *value_corrections = key + DCF_BLOCK * DCF_SEED;
        const uint8_t *bit_corrections = value_corrections + (kind == DCF_COMPARISON ? DCF_BLOCK * payload : 0);
        uint16_t sides[2];
        memcpy(sides, bit_corrections, sizeof sides);
        for (size_t k = 0; k < GROUP; k++) {
            const uint64_t turn = bit_of(x[from + k], function->bits, level);
            next[k] = _mm_xor_si128(seeds[k], _mm_and_si128(mask_of(turn), lowest_bit()));
            edges[k] = _mm_xor_si128(next[k], _mm_set_epi64x(0, 2));
        }
        hash(function, next, GROUP);
        if (kind == DCF_COMPARISON) hash(function, edges, GROUP);
        for (size_t k = 0; k < GROUP; k++) {
            const uint64_t turn = 0 - bit_of(x[from + k], function->bits, level), corrected = 0 - t[k];
            const uint64_t side = ((sides[0] & ~turn) | (sides[1] & turn)) >> (from + k) & 1;
            const __m128i correction = _mm_loadu_si128((const __m128i *)(key + (from + k) * DCF_SEED));
            seeds[k] = _mm_xor_si128(_mm_andnot_si128(lowest_bit(), next[k]),
                                     _mm_and_si128(mask_of(t[k]), correction));
            if (kind == DCF_COMPARISON)
                sums[k] += low_half(edges[k])
                           + (corrected & load_value(value_corrections + (from + k) * payload, payload));
            t[k] = (low_half(next[k]) & 1) ^ (t[k] & side);
        }
        key = bit_corrections + 4;
    }
    for (size_t k = 0; k < GROUP; k++) {
        const uint64_t last = load_value(key + (from + k) * payload, payload);
        const uint64_t sum = sums[k] + high_half(seeds[k]) + ((0 - t[k]) & last), minus = 0 - (uint64_t)party;
        values[from + k] = (sum ^ minus) - minus;
    }
}

static void evaluate(const dcf_function *function, int party, const uint8_t *key, const uint64_t x[DCF_BLOCK],
                     uint64_t values[DCF_BLOCK]) {
    for (size_t from = 0; from < DCF_BLOCK; from += GROUP) {
        if (function->kind == DCF_POINT) {
            if (function->payload == 8) evaluate_group(function, party, key, from, x, values, DCF_POINT, 8);
            else evaluate_group(function, party, key, from, x, values, DCF_POINT, 4);
        } else {
            if (function->payload == 8) evaluate_group(function, party, key, from, x, values, DCF_COMPARISON, 8);
            else evaluate_group(function, party, key, from, x, values, DCF_COMPARISON, 4);
        }
    }
}

INLINE __m128i chosen(uint64_t turn, __m128i left, __m128i right) {
    return _mm_xor_si128(left, _mm_and_si128(mask_of(turn), _mm_xor_si128(left, right)));
}

INLINE uint64_t signed_by(uint64_t value, uint64_t minus) { return (value ^ (0 - minus)) + minus; }

/* One tree, both parties: children, corrections, and the way on. */
static void generate_one(const dcf_function *function, uint64_t alpha, uint64_t beta, size_t k,
                         const uint8_t roots[2][DCF_SEED], uint8_t *key0, uint8_t *key1) {
    const size_t level_size = dcf_level_size(function);
    const unsigned payload = function->payload;
    const int comparison = function->kind == DCF_COMPARISON;
    __m128i seeds[2];
    uint64_t t[2] = {0, 1}, kept = 0;
    uint8_t *level_start = key0 + DCF_BLOCK * DCF_SEED;
    for (int party = 0; party < 2; party++) seeds[party] = _mm_loadu_si128((const __m128i *)roots[party]);
    _mm_storeu_si128((__m128i *)(key0 + k * DCF_SEED), seeds[0]);
    _mm_storeu_si128((__m128i *)(key1 + k * DCF_SEED), seeds[1]);
    for (unsigned level = 0; level < function->bits; level++, level_start += level_size) {
        const uint64_t turn = bit_of(alpha, function->bits, level);
        uint8_t *bit_corrections = level_start + level_size - 4;
        uint64_t own[4], sides[2];
        __m128i child[8]; /* seeds 0L 0R 1L 1R, values 0L 0R 1L 1R */
        for (int i = 0; i < 8; i++) child[i] = _mm_xor_si128(seeds[i / 2 % 2], _mm_set_epi64x(0, i % 2 + i / 4 * 2));
        hash(function, child, 8);
        for (int i = 0; i < 4; i++) {
            own[i] = low_half(child[i]) & 1;
            child[i] = _mm_andnot_si128(lowest_bit(), child[i]);
        }
        const __m128i correction = _mm_xor_si128(chosen(turn, child[1], child[0]), chosen(turn, child[3], child[2]));
        _mm_storeu_si128((__m128i *)(level_start + k * DCF_SEED), correction);
        sides[0] = own[0] ^ own[2] ^ turn ^ 1;
        sides[1] = own[1] ^ own[3] ^ turn;
        for (int side = 0; side < 2; side++) {
            uint8_t *packed = bit_corrections + 2 * side + k / 8;
            *packed = (uint8_t)(*packed | sides[side] << (k % 8));
        }
        if (comparison) {
            const uint64_t lost0 = low_half(chosen(turn, child[5], child[4]));
            const uint64_t lost1 = low_half(chosen(turn, child[7], child[6]));
            /* All that lies to the left of the way is below alpha. */
            const uint64_t value = signed_by(lost1 - lost0 - kept + (beta & (0 - turn)), t[1]);
            memcpy(level_start + DCF_BLOCK * DCF_SEED + k * payload, &value, payload);
            kept += low_half(chosen(turn, child[4], child[5])) - low_half(chosen(turn, child[6], child[7]))
                    + signed_by(value, t[1]);
        }
        for (int party = 0; party < 2; party++) {
            const uint64_t turned = own[2 * party] ^ (turn & (own[2 * party] ^ own[2 * party + 1]));
            const __m128i way = chosen(turn, child[2 * party], child[2 * party + 1]);
            seeds[party] = _mm_xor_si128(way, _mm_and_si128(mask_of(t[party]), correction));
            t[party] = turned ^ (t[party] & (sides[0] ^ (turn & (sides[0] ^ sides[1]))));
        }
    }
    const uint64_t rest = high_half(seeds[1]) - high_half(seeds[0]) + (comparison ? 0 - kept : beta);
    const uint64_t last = signed_by(rest, t[1]);
    memcpy(level_start + k * payload, &last, payload);
}

static void generate(const dcf_function *function, const uint64_t alpha[DCF_BLOCK], const uint64_t beta[DCF_BLOCK],
                     const uint8_t roots[DCF_BLOCK][2][DCF_SEED], uint8_t *key0, uint8_t *key1) {
    const size_t seeds = DCF_BLOCK * DCF_SEED;
    const size_t corrections = function->bits * dcf_level_size(function) + DCF_BLOCK * function->payload;
    memset(key0 + seeds, 0, corrections);
    for (size_t k = 0; k < DCF_BLOCK; k++) generate_one(function, alpha[k], beta[k], k, roots[k], key0, key1);
    memcpy(key1 + seeds, key0 + seeds, corrections);
}

const struct dcf_kernels dcf_aesni = {.generate = generate, .evaluate = evaluate};
