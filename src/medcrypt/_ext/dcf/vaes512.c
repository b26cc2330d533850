/* Sixteen trees at a time: four registers of four seeds. Values are kept in the low half of their seed's place. */
#include "dcf.h"

#include <immintrin.h>
#include <string.h>

enum { REGISTERS = 4, LANES = 4 };

#define INLINE static inline __attribute__((always_inline))

INLINE __m512i low_halves(void) { return _mm512_set_epi64(0, 1, 0, 1, 0, 1, 0, 1); }

/* pi(x) xor x for `count` registers at once. */
INLINE void hash(const dcf_function *function, __m512i *state, size_t count) {
    __m512i input[8];
    __m512i round_key = _mm512_load_si512(function->round_keys[0]);
    for (size_t i = 0; i < count; i++) {
        input[i] = state[i];
        state[i] = _mm512_xor_si512(state[i], round_key);
    }
    for (int round = 1; round < DCF_ROUNDS; round++) {
        round_key = _mm512_load_si512(function->round_keys[round]);
        for (size_t i = 0; i < count; i++) state[i] = _mm512_aesenc_epi128(state[i], round_key);
    }
    round_key = _mm512_load_si512(function->round_keys[DCF_ROUNDS]);
    for (size_t i = 0; i < count; i++)
        state[i] = _mm512_xor_si512(_mm512_aesenclast_epi128(state[i], round_key), input[i]);
}

/* A bit for each tree, as masks of its two 64-bit halves in the four registers. */
INLINE uint32_t spread(uint32_t bits) { return _pdep_u32(bits, 0x55555555) * 3; }

/* The lowest bit of every seed. */
INLINE uint32_t lowest_bits(const __m512i seeds[REGISTERS]) {
    uint32_t masks = 0;
    for (int r = 0; r < REGISTERS; r++)
        masks |= (uint32_t)_mm512_test_epi64_mask(seeds[r], low_halves()) << (8 * r);
    return _pext_u32(masks, 0x55555555);
}

INLINE __m512i without_lowest_bits(__m512i seeds) { return _mm512_andnot_si512(low_halves(), seeds); }

/* Bit `level` of each of sixteen numbers of n bits, the highest first. */
INLINE uint32_t bits_of_level(const uint64_t numbers[DCF_BLOCK], unsigned bits, unsigned level) {
    const __m128i count = _mm_cvtsi32_si128((int)(64 - bits + level));
    const __m512i low = _mm512_sll_epi64(_mm512_loadu_si512(numbers), count);
    const __m512i high = _mm512_sll_epi64(_mm512_loadu_si512(numbers + 8), count);
    return (uint32_t)_mm512_movepi64_mask(low) | (uint32_t)_mm512_movepi64_mask(high) << 8;
}

/* Four values of P bytes, each in the low half of its place; and back. */
INLINE __m512i load_values(const uint8_t *from, unsigned payload) {
    return payload == 8 ? _mm512_maskz_expandloadu_epi64(0x55, from) : _mm512_maskz_expandloadu_epi32(0x1111, from);
}

INLINE void store_values(uint8_t *to, __m512i values, unsigned payload) {
    if (payload == 8) _mm512_mask_compressstoreu_epi64(to, 0x55, values);
    else _mm512_mask_compressstoreu_epi32(to, 0x1111, values);
}

/* The upper half of a seed, which is uniform as a whole, in the low half of its place. */
INLINE __m512i last_values(__m512i seeds) { return _mm512_unpackhi_epi64(seeds, seeds); }

INLINE void evaluate_block(const dcf_function *function, int party, const uint8_t *key, const uint64_t x[DCF_BLOCK],
                           uint64_t values[DCF_BLOCK], const enum dcf_kind kind, const unsigned payload) {
    const __m512i right = low_halves();
    const __m512i to_value = _mm512_slli_epi64(low_halves(), 1);
    const size_t hashed = kind == DCF_COMPARISON ? 2 * REGISTERS : REGISTERS;
    __m512i seeds[REGISTERS], sums[REGISTERS], next[2 * REGISTERS];
    uint32_t t = party ? 0xFFFF : 0;
    for (int r = 0; r < REGISTERS; r++) {
        seeds[r] = _mm512_loadu_si512(key + r * DCF_WIDTH);
        sums[r] = _mm512_setzero_si512();
    }
    key += DCF_BLOCK * DCF_SEED;
    for (unsigned level = 0; level < function->bits; level++) {
        const uint32_t turn = bits_of_level(x, function->bits, level);
        const uint32_t turns = spread(turn), corrected = spread(t);
        uint16_t left_bits, right_bits;
        for (int r = 0; r < REGISTERS; r++) {
            next[r] = _mm512_mask_xor_epi64(seeds[r], (__mmask8)(turns >> (8 * r)), seeds[r], right);
            if (kind == DCF_COMPARISON) next[REGISTERS + r] = _mm512_xor_si512(next[r], to_value);
        }
        hash(function, next, hashed);
        const uint8_t *value_corrections = key + DCF_BLOCK * DCF_SEED;
        const uint8_t *bit_corrections = value_corrections + (kind == DCF_COMPARISON ? DCF_BLOCK * payload : 0);
        memcpy(&left_bits, bit_corrections, sizeof left_bits);
        memcpy(&right_bits, bit_corrections + 2, sizeof right_bits);
        const uint32_t own = lowest_bits(next);
        for (int r = 0; r < REGISTERS; r++) {
            const __mmask8 mask = (__mmask8)(corrected >> (8 * r));
            const __m512i correction = _mm512_loadu_si512(key + r * DCF_WIDTH);
            next[r] = without_lowest_bits(next[r]);
            seeds[r] = _mm512_mask_xor_epi64(next[r], mask, next[r], correction);
            if (kind == DCF_COMPARISON) {
                const __m512i value = load_values(value_corrections + r * LANES * payload, payload);
                sums[r] = _mm512_add_epi64(sums[r], next[REGISTERS + r]);
                sums[r] = _mm512_mask_add_epi64(sums[r], mask, sums[r], value);
            }
        }
        t = own ^ (t & ((left_bits & ~turn) | (right_bits & turn)));
        key = bit_corrections + 4;
    }
    const uint32_t corrected = spread(t);
    for (int r = 0; r < REGISTERS; r++) {
        const __m512i value = load_values(key + r * LANES * payload, payload);
        sums[r] = _mm512_add_epi64(sums[r], last_values(seeds[r]));
        sums[r] = _mm512_mask_add_epi64(sums[r], (__mmask8)(corrected >> (8 * r)), sums[r], value);
        if (party) sums[r] = _mm512_sub_epi64(_mm512_setzero_si512(), sums[r]);
        _mm512_mask_compressstoreu_epi64(values + r * LANES, 0x55, sums[r]);
    }
}

static void evaluate(const dcf_function *function, int party, const uint8_t *key, const uint64_t x[DCF_BLOCK],
                     uint64_t values[DCF_BLOCK]) {
    if (function->kind == DCF_POINT) {
        if (function->payload == 8) evaluate_block(function, party, key, x, values, DCF_POINT, 8);
        else evaluate_block(function, party, key, x, values, DCF_POINT, 4);
    } else {
        if (function->payload == 8) evaluate_block(function, party, key, x, values, DCF_COMPARISON, 8);
        else evaluate_block(function, party, key, x, values, DCF_COMPARISON, 4);
    }
}

/* -a where the mask says so. */
INLINE __m512i negated(__m512i a, __mmask8 mask) {
    return _mm512_mask_sub_epi64(a, mask, _mm512_setzero_si512(), a);
}

/* One level of four trees, both parties: children, corrections, and the way on. */
INLINE void generate_quarter(const dcf_function *function, __m512i seeds[2], __m512i *kept, __m512i beta,
                             uint32_t turn, uint32_t t[2], uint32_t bits[2], uint8_t *seed_corrections,
                             uint8_t *value_corrections, const enum dcf_kind kind, const unsigned payload) {
    const __m512i right = low_halves(), to_value = _mm512_slli_epi64(low_halves(), 1);
    const __mmask8 turns = (__mmask8)(_pdep_u32(turn, 0x55) * 3);
    const __mmask8 ones[2] = {(__mmask8)(_pdep_u32(t[0], 0x55) * 3), (__mmask8)(_pdep_u32(t[1], 0x55) * 3)};
    const size_t hashed = kind == DCF_COMPARISON ? 8 : 4;
    __m512i child[8]; /* seeds 0L 0R 1L 1R, values 0L 0R 1L 1R */
    uint32_t own[4];
    for (int party = 0; party < 2; party++) {
        child[2 * party] = seeds[party];
        child[2 * party + 1] = _mm512_xor_si512(seeds[party], right);
    }
    if (kind == DCF_COMPARISON)
        for (int i = 0; i < 4; i++) child[4 + i] = _mm512_xor_si512(child[i], to_value);
    hash(function, child, hashed);
    for (int i = 0; i < 4; i++) {
        own[i] = _pext_u32(_mm512_test_epi64_mask(child[i], low_halves()), 0x55);
        child[i] = without_lowest_bits(child[i]);
    }
    const __m512i lost[2] = {_mm512_mask_blend_epi64(turns, child[1], child[0]),
                             _mm512_mask_blend_epi64(turns, child[3], child[2])};
    const __m512i next[2] = {_mm512_mask_blend_epi64(turns, child[0], child[1]),
                             _mm512_mask_blend_epi64(turns, child[2], child[3])};
    const __m512i correction = _mm512_xor_si512(lost[0], lost[1]);
    _mm512_storeu_si512(seed_corrections, correction);
    bits[0] = (own[0] ^ own[2] ^ turn ^ 0xF) & 0xF;
    bits[1] = own[1] ^ own[3] ^ turn;
    if (kind == DCF_COMPARISON) {
        const __m512i lost_value[2] = {_mm512_mask_blend_epi64(turns, child[5], child[4]),
                                       _mm512_mask_blend_epi64(turns, child[7], child[6])};
        const __m512i next_value[2] = {_mm512_mask_blend_epi64(turns, child[4], child[5]),
                                       _mm512_mask_blend_epi64(turns, child[6], child[7])};
        __m512i value = _mm512_sub_epi64(_mm512_sub_epi64(lost_value[1], lost_value[0]), *kept);
        value = _mm512_mask_add_epi64(value, turns, value, beta); /* all that lies to the left is below alpha */
        value = negated(value, ones[1]);
        store_values(value_corrections, value, payload);
        *kept = _mm512_add_epi64(_mm512_sub_epi64(*kept, next_value[1]), next_value[0]);
        *kept = _mm512_add_epi64(*kept, negated(value, ones[1]));
    }
    for (int party = 0; party < 2; party++) {
        const uint32_t turned = (own[2 * party] & ~turn) | (own[2 * party + 1] & turn);
        const uint32_t turned_bits = (bits[0] & ~turn) | (bits[1] & turn);
        seeds[party] = _mm512_mask_xor_epi64(next[party], ones[party], next[party], correction);
        t[party] = (turned ^ (t[party] & turned_bits)) & 0xF;
    }
}

INLINE void generate_block(const dcf_function *function, const uint64_t alpha[DCF_BLOCK],
                           const uint64_t beta[DCF_BLOCK], const uint8_t roots[DCF_BLOCK][2][DCF_SEED],
                           uint8_t *key0, uint8_t *key1, const enum dcf_kind kind, const unsigned payload) {
    uint8_t *level_start = key0 + DCF_BLOCK * DCF_SEED;
    const size_t level_size = dcf_level_size(function);
    for (size_t k = 0; k < DCF_BLOCK; k++) {
        memcpy(key0 + k * DCF_SEED, roots[k][0], DCF_SEED);
        memcpy(key1 + k * DCF_SEED, roots[k][1], DCF_SEED);
    }
    for (unsigned level = 0; level < function->bits; level++)
        memset(level_start + (level + 1) * level_size - 4, 0, 4);
    for (int r = 0; r < REGISTERS; r++) {
        __m512i seeds[2] = {_mm512_loadu_si512(key0 + r * DCF_WIDTH), _mm512_loadu_si512(key1 + r * DCF_WIDTH)};
        const __m512i wanted = _mm512_maskz_expandloadu_epi64(0x55, beta + r * LANES);
        __m512i kept = _mm512_setzero_si512();
        uint32_t t[2] = {0, 0xF}, bits[2];
        uint8_t *start = level_start;
        for (unsigned level = 0; level < function->bits; level++, start += level_size) {
            const uint32_t turn = bits_of_level(alpha, function->bits, level) >> (LANES * r) & 0xF;
            uint8_t *value_corrections = start + DCF_BLOCK * DCF_SEED + r * LANES * payload;
            generate_quarter(function, seeds, &kept, wanted, turn, t, bits, start + r * DCF_WIDTH,
                             value_corrections, kind, payload);
            for (int side = 0; side < 2; side++) {
                uint8_t *packed = start + level_size - 4 + 2 * side + r / 2;
                *packed = (uint8_t)(*packed | bits[side] << (4 * (r % 2)));
            }
        }
        __m512i value = _mm512_sub_epi64(last_values(seeds[1]), last_values(seeds[0]));
        value = kind == DCF_COMPARISON ? _mm512_sub_epi64(value, kept) : _mm512_add_epi64(value, wanted);
        value = negated(value, (__mmask8)(_pdep_u32(t[1], 0x55) * 3));
        store_values(start + r * LANES * payload, value, payload);
    }
    memcpy(key1 + DCF_BLOCK * DCF_SEED, level_start, function->bits * level_size + DCF_BLOCK * payload);
}

static void generate(const dcf_function *function, const uint64_t alpha[DCF_BLOCK], const uint64_t beta[DCF_BLOCK],
                     const uint8_t roots[DCF_BLOCK][2][DCF_SEED], uint8_t *key0, uint8_t *key1) {
    if (function->kind == DCF_POINT) {
        if (function->payload == 8) generate_block(function, alpha, beta, roots, key0, key1, DCF_POINT, 8);
        else generate_block(function, alpha, beta, roots, key0, key1, DCF_POINT, 4);
    } else {
        if (function->payload == 8) generate_block(function, alpha, beta, roots, key0, key1, DCF_COMPARISON, 8);
        else generate_block(function, alpha, beta, roots, key0, key1, DCF_COMPARISON, 4);
    }
}

const struct dcf_kernels dcf_vaes512 = {.generate = generate, .evaluate = evaluate};
