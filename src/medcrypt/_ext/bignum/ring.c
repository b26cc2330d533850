/*
 * Rings: the constants of a modulus, and how values enter Montgomery's form and leave it.
 *
 * Entering: x = x_0 + x_1 2^s + ... with 2^s = R / 4. Horner's rule on plain pairs, v <- v 2^s + x_i, costs one
 * product with the constant 2^s R; the last product, with R^2, makes Montgomery's form. Before each, a < 2 n +
 * R / 4 < R / 2, b < 2 n, and the constants are below n: the bounds of bignum.h hold.
 *
 * Leaving: the product with the pair (1, 0) gives the plain pair with
 *
 *   a' = (a + q n) / R <= (4 n + (R - 1) n) / R < n + 1
 *   b' = (b + (R - q) + q' n) / R - 1 <= (4 n + R + (R - 1) n) / R - 1 < n + 1,
 *
 * so a' <= n, b' <= n: one conditional subtraction each, of words, makes them the least residues (the first may
 * raise b' to n + 1).
 */
#include "bignum.h"

#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 wide;

/* ---- memory ------------------------------------------------------------------------------------------- */

#ifdef _WIN32
#include <malloc.h>
static void *allocate(size_t size) { return _aligned_malloc(size, BN_ALIGNMENT); }
static void release(void *memory) { _aligned_free(memory); }
#else
static void *allocate(size_t size) { return aligned_alloc(BN_ALIGNMENT, size); }
static void release(void *memory) { free(memory); }
#endif

uint64_t *bn_allocate(size_t words) {
    size_t line = BN_ALIGNMENT / sizeof(uint64_t), rounded = (words + line - 1) / line * line + line;
    uint64_t *memory = allocate(rounded * sizeof *memory);
    if (memory != NULL) memset(memory, 0, rounded * sizeof *memory);
    return memory;
}

void bn_wipe(void *memory, size_t size) {
    if (size == 0) return;
    memset(memory, 0, size);
    __asm__ volatile("" : : "r"(memory) : "memory");
}

void bn_release(uint64_t *memory, size_t words) {
    if (memory == NULL) return;
    bn_wipe(memory, words * sizeof *memory);
    release(memory);
}

__attribute__((noinline)) void bn_burn_stack(void) {
    uint8_t frame[8192]; /* more than any kernel's frame: their arrays are in scratch memory */
    bn_wipe(frame, sizeof frame);
}

/* ---- words of one value ------------------------------------------------------------------------------- */

/* x - y if that is not negative, else x; returns which (1 if subtracted). Both have `words` words. */
static uint64_t reduce_once(uint64_t *x, const uint64_t *y, uint64_t *difference, size_t words) {
    uint64_t borrow = 0;
    for (size_t i = 0; i < words; i++) {
        wide d = (wide)x[i] - y[i] - borrow;
        difference[i] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    uint64_t keep = bn_opaque(0 - borrow);
    for (size_t i = 0; i < words; i++) x[i] = (x[i] & keep) | (difference[i] & ~keep);
    return 1 - borrow;
}

static void add_word(uint64_t *x, uint64_t y, size_t words) {
    for (size_t i = 0; i < words; i++) {
        wide s = (wide)x[i] + y;
        x[i] = (uint64_t)s;
        y = (uint64_t)(s >> 64);
    }
}

static void double_words(uint64_t *x, size_t words) {
    for (size_t i = words; i-- > 1;) x[i] = x[i] << 1 | x[i - 1] >> 63;
    x[0] <<= 1;
}

/* Eight bytes, big-endian: compilers make one instruction of it. */
static uint64_t load_word(const uint8_t *bytes) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) word = word << 8 | bytes[i];
    return word;
}

static void store_word(uint8_t *bytes, uint64_t word) {
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(word >> (56 - 8 * i));
}

/* x modulo 2^(64 words); a number with leading zeros may be wider than its words. */
void bn_words_of_bytes(uint64_t *x, size_t words, const uint8_t *bytes, size_t width) {
    size_t whole = width / 8 < words ? width / 8 : words;
    memset(x, 0, words * sizeof *x);
    for (size_t i = 0; i < whole; i++) x[i] = load_word(bytes + width - 8 * (i + 1));
    for (size_t i = 8 * whole; i < width && whole < words; i++)
        x[whole] |= (uint64_t)bytes[width - 1 - i] << 8 * (i % 8);
}

/* The low `width` bytes of x. */
void bn_bytes_of_words(uint8_t *bytes, size_t width, const uint64_t *x, size_t words) {
    size_t whole = width / 8 < words ? width / 8 : words;
    for (size_t i = 0; i < whole; i++) store_word(bytes + width - 8 * (i + 1), x[i]);
    for (size_t i = 8 * whole; i < width; i++)
        bytes[width - 1 - i] = whole < words ? (uint8_t)(x[whole] >> 8 * (i % 8)) : 0;
}

/* `count` bits of x from bit `from` on, count <= 64; beyond the end there are zeros. */
static uint64_t bits_at(const uint64_t *x, size_t words, size_t from, size_t count) {
    size_t i = from / 64, shift = from % 64;
    uint64_t low = i < words ? x[i] >> shift : 0;
    if (shift != 0 && i + 1 < words) low |= x[i + 1] << (64 - shift);
    return count == 64 ? low : low & ((UINT64_C(1) << count) - 1);
}

/* ---- digits of one lane ------------------------------------------------------------------------------- */

/* Digits of the bits [from, from + bits) of x. */
static void spread(const bn_ring *ring, uint64_t *digits, size_t lane, const uint64_t *x, size_t words, size_t from,
                   size_t bits) {
    size_t lanes = ring->kernels->lanes, size = ring->kernels->digit_bits;
    for (size_t i = 0; i < ring->digits; i++) {
        size_t start = i * size, left = bits > start ? bits - start : 0;
        size_t count = left < size ? left : size;
        digits[i * lanes + lane] = count == 0 ? 0 : bits_at(x, words, from + start, count);
    }
}

/* The words of one lane's digits, which the caller knows to fit. */
static void gather(const bn_ring *ring, uint64_t *x, size_t words, const uint64_t *digits, size_t lane) {
    size_t lanes = ring->kernels->lanes, size = ring->kernels->digit_bits;
    memset(x, 0, words * sizeof *x);
    for (size_t i = 0; i < ring->digits; i++) {
        uint64_t digit = digits[i * lanes + lane];
        size_t word = i * size / 64, shift = i * size % 64;
        if (word < words) x[word] |= digit << shift;
        if (shift != 0 && shift + size > 64 && word + 1 < words) x[word + 1] |= digit >> (64 - shift);
    }
}

/* ---- rings -------------------------------------------------------------------------------------------- */

size_t bn_single_words(const bn_ring *ring) { return ring->digits * ring->kernels->lanes; }
size_t bn_group_words(const bn_ring *ring) { return 2 * bn_single_words(ring); }
size_t bn_scratch_words(const bn_ring *ring) { return (18 * ring->digits + 160) * ring->kernels->lanes; }

/* Where each constant lies in the memory of a ring; returns how many words there are. */
static size_t place(bn_ring *ring, uint64_t *memory) {
    size_t single = bn_single_words(ring), pair = 2 * single, at = 0;
    ring->n = memory + at, at += single;
    ring->inverse = memory + at, at += BN_MAX_LANES;
    ring->one = memory + at, at += pair;
    ring->square = memory + at, at += pair;
    ring->shift = memory + at, at += pair;
    ring->unit = memory + at, at += pair;
    ring->n_words = memory + at, at += ring->words * ring->kernels->lanes;
    return at;
}

/* -n^-1 mod 2^64, by Newton's iteration from the 3 bits that n itself is right to. */
static uint64_t negative_inverse(uint64_t n) {
    uint64_t x = n;
    for (int i = 0; i < 5; i++) x *= 2 - n * x;
    return 0 - x;
}

/* Pair (a, b) <- 2 (a, b), each below n before and after; one word longer than n. */
static void double_pair(uint64_t *a, uint64_t *b, const uint64_t *n, uint64_t *spare, size_t words) {
    double_words(a, words);
    double_words(b, words);
    add_word(b, reduce_once(a, n, spare, words), words);
    reduce_once(b, n, spare, words);
}

/* The pair of 2^exponent mod n^2 into one lane, by doubling 2^(bits - 1), which is below n. */
static void set_power_of_two(const bn_ring *ring, uint64_t *pair, size_t lane, size_t exponent, uint64_t *spare) {
    size_t words = ring->words + 1;
    uint64_t *a = spare, *b = a + words, *n = b + words;
    memset(spare, 0, 3 * words * sizeof *spare);
    memcpy(n, ring->n_words + lane * ring->words, ring->words * sizeof *n);
    a[(ring->bits - 1) / 64] = UINT64_C(1) << (ring->bits - 1) % 64;
    for (size_t i = ring->bits - 1; i < exponent; i++) double_pair(a, b, n, n + words, words);
    spread(ring, pair, lane, a, words, 0, 64 * words);
    spread(ring, pair + bn_single_words(ring), lane, b, words, 0, 64 * words);
}

/* Make a pair below 2 n the least one, then double it `doublings` times; lane by lane. */
static void reduce_and_double(const bn_ring *ring, uint64_t *pair, size_t doublings, uint64_t *spare) {
    size_t words = ring->words + 1;
    uint64_t *a = spare, *b = a + words, *n = b + words, *difference = n + words;
    for (size_t lane = 0; lane < ring->kernels->lanes; lane++) {
        n[words - 1] = 0;
        memcpy(n, ring->n_words + lane * ring->words, ring->words * sizeof *n);
        gather(ring, a, words, pair, lane);
        gather(ring, b, words, pair + bn_single_words(ring), lane);
        add_word(b, reduce_once(a, n, difference, words), words);
        reduce_once(b, n, difference, words); /* b <= 2 n */
        reduce_once(b, n, difference, words);
        for (size_t i = 0; i < doublings; i++) double_pair(a, b, n, difference, words);
        spread(ring, pair, lane, a, words, 0, 64 * words);
        spread(ring, pair + bn_single_words(ring), lane, b, words, 0, 64 * words);
    }
}

/* Montgomery's forms of 1, 2^s and R = 2^(s + 2), the second by squaring and doubling. */
static void set_constants(bn_ring *ring, uint64_t *scratch, uint64_t *spare) {
    const bn_kernels *kernels = ring->kernels;
    size_t pair = bn_group_words(ring), s = ring->chunk_bits, bit = 0;
    for (size_t lane = 0; lane < kernels->lanes; lane++) {
        set_power_of_two(ring, ring->one, lane, s + 2, spare);
        ring->unit[lane] = 1;
    }
    memcpy(ring->shift, ring->one, pair * sizeof *ring->one);
    reduce_and_double(ring, ring->shift, 1, spare);
    while (s >> (bit + 1)) bit++;
    while (bit-- > 0) {
        kernels->square(ring, ring->shift, ring->shift, scratch);
        reduce_and_double(ring, ring->shift, s >> bit & 1, spare);
    }
    memcpy(ring->square, ring->shift, pair * sizeof *ring->one);
    reduce_and_double(ring, ring->square, 2, spare);
}

static size_t bit_length(const uint64_t *x, size_t words) {
    size_t bits = 64 * words;
    while (bits > 0 && !(x[(bits - 1) / 64] >> (bits - 1) % 64 & 1)) bits--;
    return bits;
}

/* The moduli, as words and as digits. */
static void set_moduli(bn_ring *ring, const uint8_t *moduli, size_t width, size_t lanes) {
    uint64_t mask = ~UINT64_C(0) >> (64 - ring->kernels->digit_bits);
    for (size_t lane = 0; lane < ring->kernels->lanes; lane++) {
        uint64_t *n = ring->n_words + lane * ring->words;
        bn_words_of_bytes(n, ring->words, moduli + (lanes == 1 ? 0 : lane * width), width);
        spread(ring, ring->n, lane, n, ring->words, 0, 64 * ring->words);
        ring->inverse[lane] = negative_inverse(n[0]) & mask;
    }
}

bn_ring *bn_ring_new(const bn_kernels *kernels, const uint8_t *moduli, size_t width, size_t lanes) {
    size_t words = (width + 7) / 8;
    bn_ring *ring = calloc(1, sizeof *ring);
    uint64_t *first = bn_allocate(words);
    if (ring == NULL || first == NULL) {
        bn_release(first, words);
        free(ring);
        return NULL;
    }
    bn_words_of_bytes(first, words, moduli, width);
    ring->kernels = kernels;
    ring->bits = bit_length(first, words); /* the length of a modulus is public */
    ring->words = (ring->bits + 63) / 64;
    size_t digit_bits = kernels->digit_bits, digits = (ring->bits + BN_SLACK_BITS + digit_bits - 1) / digit_bits;
    ring->digits = (digits + kernels->block - 1) / kernels->block * kernels->block;
    ring->chunk_bits = ring->digits * digit_bits - 2;
    bn_release(first, words);

    bn_ring sizes = *ring;
    ring->memory_words = place(&sizes, NULL);
    ring->memory = bn_allocate(ring->memory_words);
    size_t scratch_words = bn_scratch_words(ring), spare_words = 4 * (ring->words + 1);
    uint64_t *scratch = bn_allocate(scratch_words + spare_words);
    if (ring->memory == NULL || scratch == NULL) {
        bn_release(scratch, scratch_words + spare_words);
        bn_ring_free(ring);
        return NULL;
    }
    place(ring, ring->memory);
    set_moduli(ring, moduli, width, lanes);
    set_constants(ring, scratch, scratch + scratch_words);
    bn_release(scratch, scratch_words + spare_words);
    bn_burn_stack();
    return ring;
}

void bn_ring_free(bn_ring *ring) {
    if (ring == NULL) return;
    bn_release(ring->memory, ring->memory_words);
    bn_wipe(ring, sizeof *ring);
    free(ring);
}

/* ---- entering ------------------------------------------------------------------------------------------ */

/* x + y for digits below B, normalised again; the caller knows that the sum is below R. */
void bn_add_digits(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y) {
    size_t lanes = ring->kernels->lanes, size = ring->kernels->digit_bits;
    uint64_t mask = ~UINT64_C(0) >> (64 - size), carry[BN_MAX_LANES] = {0};
    for (size_t i = 0; i < ring->digits; i++)
        for (size_t lane = 0; lane < lanes; lane++) {
            wide s = (wide)x[i * lanes + lane] + y[i * lanes + lane] + carry[lane];
            z[i * lanes + lane] = (uint64_t)s & mask;
            carry[lane] = (uint64_t)(s >> size);
        }
}

/* Digits of chunk `chunk` of up to `lanes` values; absent lanes get `absent`. */
static void take_chunk(const bn_ring *ring, uint64_t *digits, const uint8_t *values, size_t width, size_t present,
                       size_t chunk, uint64_t absent, uint64_t *spare) {
    size_t words = (width + 7) / 8;
    for (size_t lane = 0; lane < ring->kernels->lanes; lane++) {
        memset(spare, 0, words * sizeof *spare);
        if (lane < present) bn_words_of_bytes(spare, words, values + lane * width, width);
        else spare[0] = absent;
        spread(ring, digits, lane, spare, words, chunk * ring->chunk_bits, ring->chunk_bits);
    }
}

int bn_enter(const bn_ring *ring, uint64_t *pairs, const uint8_t *values, size_t width, size_t count) {
    const bn_kernels *kernels = ring->kernels;
    size_t lanes = kernels->lanes, group = bn_group_words(ring), single = bn_single_words(ring);
    size_t chunks = (8 * width + ring->chunk_bits - 1) / ring->chunk_bits, value_words = (width + 7) / 8;
    size_t scratch_words = bn_scratch_words(ring), spare_words = value_words + single;
    uint64_t *scratch = bn_allocate(scratch_words + spare_words);
    if (scratch == NULL) return 0;
    uint64_t *spare = scratch + scratch_words, *digits = spare + value_words;
    for (size_t done = 0; done < count; done += lanes, pairs += group) {
        const uint8_t *here = values + done * width;
        size_t present = count - done < lanes ? count - done : lanes;
        memset(pairs, 0, group * sizeof *pairs);
        for (size_t chunk = chunks; chunk-- > 0;) {
            if (chunk + 1 < chunks) kernels->multiply(ring, pairs, pairs, ring->shift, scratch);
            take_chunk(ring, digits, here, width, present, chunk, chunk == 0, spare);
            bn_add_digits(ring, pairs, pairs, digits);
        }
        kernels->multiply(ring, pairs, pairs, ring->square, scratch);
    }
    bn_release(scratch, scratch_words + spare_words);
    bn_burn_stack();
    return 1;
}

void bn_single_enter(const bn_ring *ring, uint64_t *single, const uint8_t *values, size_t width, size_t present,
                     uint64_t *scratch, uint64_t *spare) {
    take_chunk(ring, single, values, width, present, 0, 1, spare);
    ring->kernels->multiply_single(ring, single, single, ring->square, scratch);
}

/* ---- leaving ------------------------------------------------------------------------------------------- */

/* The least pair of one lane, as words + 1 words each; `plain` is a product with (1, 0). */
static void least_pair(const bn_ring *ring, uint64_t *a, uint64_t *b, const uint64_t *plain, size_t lane, uint64_t *spare) {
    size_t words = ring->words + 1;
    uint64_t *n = spare, *difference = n + words;
    n[words - 1] = 0;
    memcpy(n, ring->n_words + lane * ring->words, ring->words * sizeof *n);
    gather(ring, a, words, plain, lane);
    gather(ring, b, words, plain + bn_single_words(ring), lane);
    add_word(b, reduce_once(a, n, difference, words), words);
    reduce_once(b, n, difference, words);
}

/* x = a + b n, 2 words + 2 words long. */
static void join(const bn_ring *ring, uint64_t *x, const uint64_t *a, const uint64_t *b, size_t lane) {
    const uint64_t *n = ring->n_words + lane * ring->words;
    size_t words = ring->words;
    memcpy(x, a, words * sizeof *x);
    memset(x + words, 0, (words + 2) * sizeof *x);
    for (size_t i = 0; i < words; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < words; j++) {
            wide s = (wide)b[i] * n[j] + x[i + j] + carry; /* at most (2^64 - 1)^2 + 2 (2^64 - 1) < 2^128 */
            x[i + j] = (uint64_t)s;
            carry = (uint64_t)(s >> 64);
        }
        x[i + words] = carry;
    }
}

static int leave(const bn_ring *ring, uint8_t *whole, uint8_t *low, uint8_t *high, size_t width, const uint64_t *pairs,
                 size_t count) {
    const bn_kernels *kernels = ring->kernels;
    size_t lanes = kernels->lanes, group = bn_group_words(ring), words = ring->words + 1;
    size_t scratch_words = bn_scratch_words(ring), spare_words = group + 6 * words;
    uint64_t *scratch = bn_allocate(scratch_words + spare_words);
    if (scratch == NULL) return 0;
    uint64_t *plain = scratch + scratch_words, *a = plain + group, *b = a + words, *spare = b + words;
    uint64_t *x = spare + 2 * words;
    for (size_t i = 0; i < count; i++) {
        if (i % lanes == 0) kernels->multiply(ring, plain, pairs + i / lanes * group, ring->unit, scratch);
        least_pair(ring, a, b, plain, i % lanes, spare);
        if (low != NULL) bn_bytes_of_words(low + i * width, width, a, words);
        if (high != NULL) bn_bytes_of_words(high + i * width, width, b, words);
        if (whole == NULL) continue;
        join(ring, x, a, b, i % lanes);
        bn_bytes_of_words(whole + i * width, width, x, 2 * words);
    }
    bn_release(scratch, scratch_words + spare_words);
    bn_burn_stack();
    return 1;
}

int bn_leave(const bn_ring *ring, uint8_t *values, size_t width, const uint64_t *pairs, size_t count) {
    return leave(ring, values, NULL, NULL, width, pairs, count);
}

int bn_leave_pair(const bn_ring *ring, uint8_t *low, uint8_t *high, size_t width, const uint64_t *pairs, size_t count) {
    return leave(ring, NULL, low, high, width, pairs, count);
}

void bn_single_leave(const bn_ring *ring, uint8_t *values, size_t width, uint64_t *single, size_t present,
                     uint64_t *scratch, uint64_t *spare) {
    size_t words = ring->words + 1;
    uint64_t *a = spare, *n = a + words, *difference = n + words;
    ring->kernels->multiply_single(ring, single, single, ring->unit, scratch);
    for (size_t lane = 0; lane < present; lane++) {
        n[words - 1] = 0;
        memcpy(n, ring->n_words + lane * ring->words, ring->words * sizeof *n);
        gather(ring, a, words, single, lane);
        reduce_once(a, n, difference, words);
        bn_bytes_of_words(values + lane * width, width, a, words);
    }
}

int bn_join(const bn_ring *ring, uint8_t *values, size_t value_width, const uint8_t *low, const uint8_t *high,
            size_t width, size_t count) {
    size_t words = ring->words + 1;
    uint64_t *a = bn_allocate(4 * words), *b = a + words, *x = b + words;
    if (a == NULL) return 0;
    for (size_t i = 0; i < count; i++) {
        bn_words_of_bytes(a, words, low + i * width, width);
        bn_words_of_bytes(b, words, high + i * width, width);
        join(ring, x, a, b, i % ring->kernels->lanes);
        bn_bytes_of_words(values + i * value_width, value_width, x, 2 * words);
    }
    bn_release(a, 4 * words);
    bn_burn_stack();
    return 1;
}
