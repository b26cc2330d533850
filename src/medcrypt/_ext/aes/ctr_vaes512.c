/* The key stream with VAES on 512-bit registers: four blocks in a register, eight registers in flight. */
#include "ctr.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, BLOCKS_IN_LANE = 4, GROUP_BLOCKS = LANES * BLOCKS_IN_LANE };

INLINE __m512i round_key(const ctr_key *key, int round) { return _mm512_load_si512(key->round_keys[round]); }

/* `n` in each of the four counters of a register. */
INLINE __m512i each(long long n) { return _mm512_set_epi64(0, n, 0, n, 0, n, 0, n); }

/* The blocks of four counters that lie in the register as little-endian numbers. */
INLINE __m512i big_endian(__m512i x) {
    const __m128i reversal = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(reversal));
}

/* `n` registers of key stream, a constant: the loops unroll and the blocks live in registers. */
INLINE void encipher(const ctr_key *key, __m512i counter, __m512i *x, int n) {
    for (int j = 0; j < n; j++)
        x[j] = _mm512_xor_si512(big_endian(_mm512_add_epi64(counter, each(BLOCKS_IN_LANE * j))), round_key(key, 0));
    for (int i = 1; i < CTR_ROUNDS; i++)
        for (int j = 0; j < n; j++) x[j] = _mm512_aesenc_epi128(x[j], round_key(key, i));
    for (int j = 0; j < n; j++) x[j] = _mm512_aesenclast_epi128(x[j], round_key(key, CTR_ROUNDS));
}

/* The registers hold key stream and round keys until somebody needs them. */
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

/* The words of `out` after the key stream `x` was used on them: `use` is a constant. */
INLINE __m512i used(__m512i out, __m512i x, ctr_use use) {
    switch (use) {
    case CTR_ADD_32: return _mm512_add_epi32(out, x);
    case CTR_SUBTRACT_32: return _mm512_sub_epi32(out, x);
    case CTR_ADD_64: return _mm512_add_epi64(out, x);
    case CTR_SUBTRACT_64: return _mm512_sub_epi64(out, x);
    default: return x;
    }
}

INLINE void use_register(uint8_t *out, __m512i x, ctr_use use) {
    __m512i before = use == CTR_WRITE ? x : _mm512_loadu_si512(out);
    _mm512_storeu_si512(out, used(before, x, use));
}

INLINE void run(const ctr_key *key, ctr_counter first, uint8_t *out, size_t blocks, ctr_use use) {
    const long long high = (long long)first.high, low = (long long)first.low;
    __m512i counter = _mm512_add_epi64(_mm512_set_epi64(high, low, high, low, high, low, high, low),
                                       _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0));
    __m512i x[LANES];
    for (; blocks >= GROUP_BLOCKS; blocks -= GROUP_BLOCKS) {
        encipher(key, counter, x, LANES);
        for (int j = 0; j < LANES; j++) use_register(out + CTR_WIDTH * j, x[j], use);
        counter = _mm512_add_epi64(counter, each(GROUP_BLOCKS));
        out += GROUP_BLOCKS * CTR_BLOCK;
    }
    for (; blocks >= BLOCKS_IN_LANE; blocks -= BLOCKS_IN_LANE) {
        encipher(key, counter, x, 1);
        use_register(out, x[0], use);
        counter = _mm512_add_epi64(counter, each(BLOCKS_IN_LANE));
        out += CTR_WIDTH;
    }
    if (blocks > 0) { /* one to three: two words of the mask for each */
        const __mmask8 mask = (__mmask8)((1u << 2 * blocks) - 1);
        encipher(key, counter, x, 1);
        _mm512_mask_storeu_epi64(out, mask, used(_mm512_maskz_loadu_epi64(mask, out), x[0], use));
    }
    clear_registers();
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

const struct ctr_kernels ctr_vaes512 = {apply};
