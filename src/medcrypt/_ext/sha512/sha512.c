/* SHA-512, FIPS 180-4: compression, unrolled by sixteen rounds with their words of the schedule; and padding. */
#include "sha512.h"

#include <string.h>

/* Section 4.2.3: the fractional parts of the cube roots of the first eighty primes. */
const uint64_t sha512_constants[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
    0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
    0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
    0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
    0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
    0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
    0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
    0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
    0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
    0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
    0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

/* Section 5.3.5: the fractional parts of the square roots of the first eight primes. */
static const uint64_t INITIAL[SHA512_WORDS] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static uint64_t rotate(uint64_t word, int by) { return word >> by | word << (64 - by); }

static uint64_t load(const uint8_t *bytes) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) word = word << 8 | bytes[i];
    return word;
}

static void store(uint8_t *bytes, uint64_t word) {
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(word >> (56 - 8 * i));
}

/* Section 4.1.3, the rotations nested: rotate(x, 28) ^ rotate(x, 34) ^ rotate(x, 39) and rotate(x, 14) ^
 * rotate(x, 18) ^ rotate(x, 41) with a copy less each where rotating overwrites its operand. */
#define SUM0(x) rotate(rotate(rotate(x, 5) ^ (x), 6) ^ (x), 28)
#define SUM1(x) rotate(rotate(rotate(x, 23) ^ (x), 4) ^ (x), 14)
#define SIGMA0(x) (rotate(x, 1) ^ rotate(x, 8) ^ (x) >> 7)
#define SIGMA1(x) (rotate(x, 19) ^ rotate(x, 61) ^ (x) >> 6)
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))

/* One round; the words trade names instead of places. */
#define ROUND(a, b, c, d, e, f, g, h, word)                           \
    do {                                                              \
        h += SUM1(e) + CHOOSE(e, f, g) + *k++ + (word);               \
        d += h;                                                       \
        h += SUM0(a) + MAJORITY(a, b, c);                             \
    } while (0)

/* Word t of the schedule, in a window of sixteen: first as it was loaded, then from the words before it. */
#define LOADED(t) (w[t] = load(block + 8 * (t)))
#define NEXT(t) (w[t] += SIGMA1(w[((t) + 14) & 15]) + w[((t) + 9) & 15] + SIGMA0(w[((t) + 1) & 15]))

#define EIGHT_ROUNDS(word, t)                                         \
    do {                                                              \
        ROUND(a, b, c, d, e, f, g, h, word((t) + 0));                 \
        ROUND(h, a, b, c, d, e, f, g, word((t) + 1));                 \
        ROUND(g, h, a, b, c, d, e, f, word((t) + 2));                 \
        ROUND(f, g, h, a, b, c, d, e, word((t) + 3));                 \
        ROUND(e, f, g, h, a, b, c, d, word((t) + 4));                 \
        ROUND(d, e, f, g, h, a, b, c, word((t) + 5));                 \
        ROUND(c, d, e, f, g, h, a, b, word((t) + 6));                 \
        ROUND(b, c, d, e, f, g, h, a, word((t) + 7));                 \
    } while (0)

/* Section 6.4.2, steps 1 to 4. */
static void compress_block(uint64_t state[SHA512_WORDS], const uint8_t *block) {
    uint64_t w[16];
    uint64_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint64_t e = state[4], f = state[5], g = state[6], h = state[7];
    const uint64_t *k = sha512_constants;
    EIGHT_ROUNDS(LOADED, 0);
    EIGHT_ROUNDS(LOADED, 8);
    while (k < sha512_constants + 80) {
        EIGHT_ROUNDS(NEXT, 0);
        EIGHT_ROUNDS(NEXT, 8);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void sha512_compress_portable(uint64_t state[SHA512_WORDS], const uint8_t *blocks, size_t count) {
    for (; count > 0; count--, blocks += SHA512_BLOCK) compress_block(state, blocks);
}

sha512_compress sha512_compress_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return sha512_compress_avx2;
    if (strcmp(path, "avx512") == 0) return sha512_compress_avx512;
#else
    (void)path;
#endif
    return sha512_compress_portable;
}

void sha512_begin(sha512_context *hash, sha512_compress compress) {
    hash->compress = compress;
    memcpy(hash->state, INITIAL, sizeof hash->state);
    hash->size = 0;
}

void sha512_add(sha512_context *hash, const uint8_t *data, size_t size) {
    size_t held = hash->size % SHA512_BLOCK;
    hash->size += size;
    if (held > 0) {
        size_t room = SHA512_BLOCK - held, taken = size < room ? size : room;
        if (taken > 0) memcpy(hash->block + held, data, taken);
        if (taken < room) return;
        hash->compress(hash->state, hash->block, 1);
        data += taken, size -= taken;
    }
    size_t whole = size / SHA512_BLOCK, rest = size % SHA512_BLOCK;
    if (whole > 0) hash->compress(hash->state, data, whole);
    if (rest > 0) memcpy(hash->block, data + (size - rest), rest);
}

/* Section 5.1.2: a one bit, zeros, and the length in bits as a 128-bit integer. */
void sha512_end(sha512_context *hash, uint8_t digest[SHA512_DIGEST]) {
    size_t held = hash->size % SHA512_BLOCK;
    hash->block[held++] = 0x80;
    if (held > SHA512_BLOCK - 16) {
        memset(hash->block + held, 0, SHA512_BLOCK - held);
        hash->compress(hash->state, hash->block, 1);
        held = 0;
    }
    memset(hash->block + held, 0, SHA512_BLOCK - 16 - held);
    store(hash->block + SHA512_BLOCK - 16, hash->size >> 61);
    store(hash->block + SHA512_BLOCK - 8, hash->size << 3);
    hash->compress(hash->state, hash->block, 1);
    for (int i = 0; i < SHA512_WORDS; i++) store(digest + 8 * i, hash->state[i]);
}

/* A call through a volatile pointer might go anywhere, so no compiler leaves it out. */
static void *(*const volatile fill)(void *, int, size_t) = memset;

void sha512_wipe(void *memory, size_t size) {
    if (size > 0) fill(memory, 0, size);
}
