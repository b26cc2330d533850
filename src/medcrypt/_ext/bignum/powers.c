/*
 * Products and powers of groups, over whatever kernel a ring has.
 *
 * Windows of w bits: x^e = (...(x^(e_m))^(2^w) x^(e_(m-1)))^(2^w) ... with digits e_i in [0, 2^w). For a secret
 * exponent every digit costs w squarings, one reading of the whole table, and one product.
 *
 * The comb of a fixed base holds base^(d 2^(w i)) for every digit d and position i, so a power is one product a
 * digit and no squaring (Brickell, Gordon, McCurley and Wilson, EUROCRYPT 1992). Its table is read completely
 * for every digit, and what a lane needs is kept: no address depends on an exponent.
 */
#include "bignum.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 8, LONG_EXPONENT = 40 /* bytes from which 16 more entries cost less than they save */ };

/* Memory of one call: the kernel's scratch, then what the operation asks for. */
static uint64_t *workspace(const bn_ring *ring, size_t words) { return bn_allocate(bn_scratch_words(ring) + words); }

static int finish(const bn_ring *ring, uint64_t *scratch, size_t words) {
    bn_release(scratch, bn_scratch_words(ring) + words);
    bn_burn_stack();
    return 1;
}

static void add_pairs(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y) {
    size_t single = bn_single_words(ring);
    bn_add_digits(ring, z, x, y);
    bn_add_digits(ring, z + single, x + single, y + single);
}

/* ---- products ----------------------------------------------------------------------------------------- */

int bn_multiply(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, size_t groups) {
    size_t group = bn_group_words(ring);
    uint64_t *scratch = workspace(ring, 0);
    if (scratch == NULL) return 0;
    for (size_t i = 0; i < groups * group; i += group) ring->kernels->multiply(ring, z + i, x + i, y + i, scratch);
    return finish(ring, scratch, 0);
}

int bn_combine(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *cx, const uint64_t *y,
               const uint64_t *cy, size_t groups) {
    size_t group = bn_group_words(ring);
    uint64_t *scratch = workspace(ring, group);
    if (scratch == NULL) return 0;
    uint64_t *other = scratch + bn_scratch_words(ring);
    for (size_t i = 0; i < groups * group; i += group) {
        ring->kernels->multiply(ring, other, y + i, cy, scratch);
        ring->kernels->multiply(ring, z + i, x + i, cx, scratch);
        add_pairs(ring, z + i, z + i, other); /* 2 n + 2 n: loose */
    }
    return finish(ring, scratch, group);
}

int bn_conceal(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint8_t *plaintexts, size_t width,
               size_t count) {
    size_t group = bn_group_words(ring), single = bn_single_words(ring), lanes = ring->kernels->lanes;
    size_t spare_words = (width + 7) / 8 + 3 * (ring->words + 1);
    uint64_t *scratch = workspace(ring, group + spare_words);
    if (scratch == NULL) return 0;
    uint64_t *factor = scratch + bn_scratch_words(ring), *spare = factor + group;
    for (size_t done = 0, i = 0; done < count; done += lanes, i += group) {
        size_t present = count - done < lanes ? count - done : lanes;
        /* The form of 1 + m n: R mod n^2 plus the form of m, n times. */
        bn_single_enter(ring, factor + single, plaintexts + done * width, width, present, scratch, spare);
        bn_add_digits(ring, factor + single, factor + single, ring->one + single); /* 2 n + n: loose */
        memcpy(factor, ring->one, single * sizeof *factor);
        ring->kernels->multiply(ring, z + i, x + i, factor, scratch);
    }
    return finish(ring, scratch, group + spare_words);
}

int bn_product(const bn_ring *ring, uint8_t *results, size_t width, const uint64_t *pairs, size_t groups) {
    size_t single = bn_single_words(ring), words = single + 3 * (ring->words + 1);
    uint64_t *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *product = scratch + bn_scratch_words(ring), *spare = product + single;
    memcpy(product, ring->one, single * sizeof *product);
    for (size_t i = 0; i < groups; i++)
        ring->kernels->multiply_single(ring, product, product, pairs + i * bn_group_words(ring), scratch);
    bn_single_leave(ring, results, width, product, ring->kernels->lanes, scratch, spare);
    return finish(ring, scratch, words);
}

int bn_running(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups) {
    size_t group = bn_group_words(ring);
    uint64_t *scratch = workspace(ring, 0);
    if (scratch == NULL) return 0;
    if (groups > 0) memcpy(z, x, group * sizeof *z);
    for (size_t i = group; i < groups * group; i += group)
        ring->kernels->multiply(ring, z + i, z + i - group, x + i, scratch);
    return finish(ring, scratch, 0);
}

int bn_unwind(const bn_ring *ring, uint64_t *running, const uint64_t *x, const uint64_t *last_inverse, size_t groups) {
    size_t group = bn_group_words(ring);
    uint64_t *scratch = workspace(ring, group);
    if (scratch == NULL) return 0;
    uint64_t *inverse = scratch + bn_scratch_words(ring); /* of running product i */
    memcpy(inverse, last_inverse, group * sizeof *inverse);
    for (size_t i = groups; i-- > 1;) {
        ring->kernels->multiply(ring, running + i * group, inverse, running + (i - 1) * group, scratch);
        ring->kernels->multiply(ring, inverse, inverse, x + i * group, scratch);
    }
    if (groups > 0) memcpy(running, inverse, group * sizeof *inverse);
    return finish(ring, scratch, group);
}

/* y = 2 - y for the product y of a loose residue and one below 2 n, whose halves are below 5/4 n and so at most 2 n - 2:
 * with 2 n + (2 n - 2) n, which is 0, neither half is negative, and with the least 1 both stay below 4 n. */
static void two_minus(const bn_ring *ring, uint64_t *y) {
    size_t lanes = ring->kernels->lanes, size = ring->kernels->digit_bits, single = bn_single_words(ring);
    uint64_t mask = ~UINT64_C(0) >> (64 - size);
    for (size_t half = 0; half < 2; half++)
        for (size_t lane = 0; lane < lanes; lane++) {
            signed __int128 carry = half == 0 ? 0 : -2;
            for (size_t i = lane; i < single; i += lanes) {
                uint64_t *digit = y + half * single + i;
                carry += 2 * ((signed __int128)ring->n[i] + ring->one[half * single + i]) - *digit;
                *digit = (uint64_t)carry & mask;
                carry >>= size;
            }
        }
}

/* x^-1 = t (2 - x t) for t = a^-1 mod n and x = a + b n, by Newton: only t is a long computation. */
int bn_public_inverses_of_lanes(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t present, int *all) {
    size_t group = bn_group_words(ring), width = 8 * ring->words, spare_words = 4 * (ring->words + 1);
    size_t words = 2 * group + spare_words + (present + 1) * ring->words;
    uint64_t *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *t = scratch + bn_scratch_words(ring), *product = t + group, *spare = product + group;
    uint8_t *n = (uint8_t *)(spare + spare_words), *values = n + width;
    int done = 1, found = 1;
    memcpy(t, x, bn_single_words(ring) * sizeof *t);
    bn_single_leave(ring, values, width, t, present, scratch, spare);
    for (size_t lane = 0; done && found && lane < present; lane++) {
        bn_bytes_of_words(n, width, ring->n_words + lane * ring->words, ring->words);
        done = bn_public_inverses(values + lane * width, values + lane * width, width, 1, n, &found);
    }
    done = done && bn_enter(ring, t, values, width, present);
    ring->kernels->multiply(ring, product, x, t, scratch);
    two_minus(ring, product);
    ring->kernels->multiply(ring, z, t, product, scratch);
    *all = found;
    return finish(ring, scratch, words) && done;
}

/* ---- windows ------------------------------------------------------------------------------------------ */

/* What a power is made of: the same for pairs and for single residues. */
typedef struct {
    const bn_ring *ring;
    void (*multiply)(const bn_ring *, uint64_t *, const uint64_t *, const uint64_t *, uint64_t *);
    void (*square)(const bn_ring *, uint64_t *, const uint64_t *, uint64_t *);
    size_t vectors; /* digits of a residue */
    size_t words;   /* vectors, times the lanes */
    size_t window;  /* bits of a digit of the exponent */
    size_t entries; /* 2^window */
} residues;

/* For exponents of `size` bytes, whose length is public. */
static residues pairs_of(const bn_ring *ring, size_t size) {
    size_t window = size < LONG_EXPONENT ? 4 : 5;
    residues r = {ring, ring->kernels->multiply, ring->kernels->square, 2 * ring->digits, bn_group_words(ring),
                  window, (size_t)1 << window};
    return r;
}

static residues singles_of(const bn_ring *ring, size_t size) {
    size_t window = size < LONG_EXPONENT ? 4 : 5;
    residues r = {ring, ring->kernels->multiply_single, ring->kernels->square_single, ring->digits,
                  bn_single_words(ring), window, (size_t)1 << window};
    return r;
}

static size_t digits_of(const residues *r, size_t size) { return (8 * size + r->window - 1) / r->window; }

/* Digit i of a big-endian exponent, from the least significant one on. */
static uint64_t digit_at(const residues *r, const uint8_t *exponent, size_t size, size_t i) {
    size_t bit = i * r->window, byte = bit / 8;
    uint64_t bits = exponent[size - 1 - byte];
    if (byte + 1 < size) bits |= (uint64_t)exponent[size - 2 - byte] << 8;
    return bits >> bit % 8 & (r->entries - 1);
}

/* table[d] = x^d for every digit d. */
static void fill_table(const residues *r, uint64_t *table, const uint64_t *x, uint64_t *scratch) {
    memcpy(table, r->ring->one, r->words * sizeof *table);
    memcpy(table + r->words, x, r->words * sizeof *table);
    for (size_t d = 2; d < r->entries; d++) {
        uint64_t *entry = table + d * r->words;
        if (d % 2 == 0) r->square(r->ring, entry, table + d / 2 * r->words, scratch);
        else r->multiply(r->ring, entry, entry - r->words, x, scratch);
    }
}

/* Every lane's digit i; the exponent of a lane lies `stride` bytes after that of the one before. */
static void digits_at(const residues *r, uint64_t *index, const uint8_t *exponents, size_t stride, size_t size,
                      size_t i) {
    for (size_t lane = 0; lane < r->ring->kernels->lanes; lane++)
        index[lane] = digit_at(r, exponents + lane * stride, size, i);
}

/* z = x^e; `picked` has r->words and room for the digits. */
static void secret_power(const residues *r, uint64_t *z, const uint64_t *table, const uint8_t *exponents, size_t stride,
                         size_t size, uint64_t *picked, uint64_t *scratch) {
    const bn_kernels *kernels = r->ring->kernels;
    uint64_t *index = picked + r->words;
    size_t i = digits_of(r, size) - 1;
    digits_at(r, index, exponents, stride, size, i);
    kernels->pick(z, table, index, r->vectors, r->entries);
    while (i-- > 0) {
        for (size_t bit = 0; bit < r->window; bit++) r->square(r->ring, z, z, scratch);
        digits_at(r, index, exponents, stride, size, i);
        kernels->pick(picked, table, index, r->vectors, r->entries);
        r->multiply(r->ring, z, z, picked, scratch);
    }
}

static void public_power(const residues *r, uint64_t *z, const uint64_t *table, const uint8_t *exponent, size_t size,
                         uint64_t *scratch) {
    size_t i = digits_of(r, size);
    while (i > 0 && digit_at(r, exponent, size, i - 1) == 0) i--;
    memcpy(z, table + (i > 0 ? digit_at(r, exponent, size, --i) : 0) * r->words, r->words * sizeof *z);
    while (i-- > 0) {
        uint64_t digit = digit_at(r, exponent, size, i);
        for (size_t bit = 0; bit < r->window; bit++) r->square(r->ring, z, z, scratch);
        if (digit != 0) r->multiply(r->ring, z, z, table + digit * r->words, scratch);
    }
}

/* x^e for a short public exponent, bit by bit: no table. */
static void short_power(const residues *r, uint64_t *z, const uint64_t *x, uint64_t exponent, uint64_t *scratch) {
    int bit = 63;
    while (!(exponent >> bit & 1)) bit--;
    memmove(z, x, r->words * sizeof *z);
    while (bit-- > 0) {
        r->square(r->ring, z, z, scratch);
        if (exponent >> bit & 1) r->multiply(r->ring, z, z, x, scratch);
    }
}

static size_t table_words(const residues *r) { return (r->entries + 1) * r->words + BN_MAX_LANES; }

/* z = x^e for one group; `table` has table_words(). */
static void power(const residues *r, uint64_t *z, const uint64_t *x, const uint8_t *exponent, size_t size, int secret,
                  uint64_t *table, uint64_t *scratch) {
    fill_table(r, table, x, scratch);
    if (secret) secret_power(r, z, table, exponent, 0, size, table + r->entries * r->words, scratch);
    else public_power(r, z, table, exponent, size, scratch);
}

/* A public exponent of at most 16 bits, or 0. */
static uint64_t short_exponent(const uint8_t *exponent, size_t size, int secret) {
    uint64_t e = 0;
    if (secret) return 0;
    for (size_t i = 0; i < size; i++) {
        if (e >> 8) return 0;
        e = e << 8 | exponent[i];
    }
    return e;
}

int bn_power(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups, const uint8_t *exponent, size_t size,
             int secret) {
    residues r = pairs_of(ring, size);
    size_t words = table_words(&r) + r.words;
    uint64_t brief = short_exponent(exponent, size, secret), *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *result = scratch + bn_scratch_words(ring), *table = result + r.words;
    for (size_t i = 0; i < groups; i++) {
        if (brief != 0) short_power(&r, result, x + i * r.words, brief, scratch);
        else power(&r, result, x + i * r.words, exponent, size, secret, table, scratch);
        memcpy(z + i * r.words, result, r.words * sizeof *z);
    }
    return finish(ring, scratch, words);
}

int bn_power_by_lane(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups, const uint8_t *exponents,
                     size_t size) {
    residues r = pairs_of(ring, size);
    size_t words = table_words(&r) + r.words;
    uint64_t *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *result = scratch + bn_scratch_words(ring), *table = result + r.words;
    for (size_t i = 0; i < groups; i++) {
        fill_table(&r, table, x + i * r.words, scratch);
        secret_power(&r, result, table, exponents, size, size, table + r.entries * r.words, scratch);
        memcpy(z + i * r.words, result, r.words * sizeof *z);
    }
    return finish(ring, scratch, words);
}

int bn_single_powers(const bn_ring *ring, uint8_t *results, const uint8_t *values, size_t width, size_t count,
                     const uint8_t *exponent, size_t size, int secret) {
    residues r = singles_of(ring, size);
    size_t lanes = ring->kernels->lanes, spare_words = (width + 7) / 8 + 3 * (ring->words + 1);
    size_t words = table_words(&r) + r.words + spare_words;
    uint64_t *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *x = scratch + bn_scratch_words(ring), *table = x + r.words, *spare = table + table_words(&r);
    for (size_t done = 0; done < count; done += lanes) {
        size_t present = count - done < lanes ? count - done : lanes;
        bn_single_enter(ring, x, values + done * width, width, present, scratch, spare);
        power(&r, x, x, exponent, size, secret, table, scratch);
        bn_single_leave(ring, results + done * width, width, x, present, scratch, spare);
    }
    return finish(ring, scratch, words);
}

int bn_single_powers_by_lane(const bn_ring *ring, uint8_t *results, const uint8_t *values, size_t width,
                             const uint8_t *exponents, size_t size) {
    residues r = singles_of(ring, size);
    size_t spare_words = (width + 7) / 8 + 3 * (ring->words + 1);
    size_t words = table_words(&r) + r.words + spare_words;
    uint64_t *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *x = scratch + bn_scratch_words(ring), *table = x + r.words, *spare = table + table_words(&r);
    bn_single_enter(ring, x, values, width, ring->kernels->lanes, scratch, spare);
    fill_table(&r, table, x, scratch);
    secret_power(&r, x, table, exponents, size, size, table + r.entries * r.words, scratch);
    bn_single_leave(ring, results, width, x, ring->kernels->lanes, scratch, spare);
    return finish(ring, scratch, words);
}

/* Fermat's test to the base 2, bit by bit: doubling is an addition, done or not under a mask. */
int bn_fermat(const bn_ring *ring, uint8_t *results, size_t width) {
    size_t single = bn_single_words(ring), lanes = ring->kernels->lanes, words = 2 * single + 3 * (ring->words + 1);
    uint64_t *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *z = scratch + bn_scratch_words(ring), *addend = z + single, *spare = addend + single;
    memcpy(z, ring->one, single * sizeof *z);
    bn_add_digits(ring, z, z, z); /* the highest bit of n - 1 is set */
    for (size_t bit = ring->bits - 1; bit-- > 0;) {
        ring->kernels->square_single(ring, z, z, scratch);
        for (size_t lane = 0; lane < lanes; lane++) {
            uint64_t set = bit == 0 ? 0 : ring->n_words[lane * ring->words + bit / 64] >> bit % 64 & 1;
            uint64_t mask = bn_opaque(0 - set);
            for (size_t i = lane; i < single; i += lanes) addend[i] = z[i] & mask;
        }
        bn_add_digits(ring, z, z, addend); /* 4 n: loose */
    }
    bn_single_leave(ring, results, width, z, lanes, scratch, spare);
    return finish(ring, scratch, words);
}

/* ---- the comb ----------------------------------------------------------------------------------------- */

/* Lay entry `e` of one lane's residues out as pick_shared reads them. */
static void store_entry(const bn_ring *ring, uint64_t *row, size_t e, const uint64_t *x, size_t lane) {
    size_t lanes = ring->kernels->lanes, entries = (size_t)1 << ring->kernels->comb_window;
    for (size_t i = 0; i < 2 * ring->digits; i++) row[i * entries + e] = x[i * lanes + lane];
}

static size_t row_words(const bn_ring *ring) { return 2 * ring->digits << ring->kernels->comb_window; }

/* Rows `first` to `first` + lanes - 1: lane l starts from base^(2^(w (first + l))). */
static void fill_rows(bn_comb *comb, size_t first, const uint64_t *steps, uint64_t *x, uint64_t *scratch) {
    const bn_ring *ring = comb->ring;
    size_t entries = (size_t)1 << ring->kernels->comb_window;
    memcpy(x, ring->one, bn_group_words(ring) * sizeof *x);
    for (size_t e = 0; e < entries; e++) {
        for (size_t lane = 0; lane < ring->kernels->lanes && first + lane < comb->windows; lane++)
            store_entry(ring, comb->table + (first + lane) * row_words(ring), e, x, lane);
        if (e + 1 < entries) ring->kernels->multiply(ring, x, x, steps, scratch);
    }
}

bn_comb *bn_comb_new(const bn_ring *ring, const uint64_t *base, size_t bits) {
    const bn_kernels *kernels = ring->kernels;
    size_t group = bn_group_words(ring), lanes = kernels->lanes, w = kernels->comb_window;
    bn_comb *comb = calloc(1, sizeof *comb);
    uint64_t *scratch = workspace(ring, 3 * group);
    if (comb != NULL) {
        comb->ring = ring;
        comb->windows = (bits + w - 1) / w;
        comb->table_words = comb->windows * row_words(ring);
        comb->table = bn_allocate(comb->table_words);
    }
    if (comb == NULL || comb->table == NULL || scratch == NULL) {
        bn_release(scratch, bn_scratch_words(ring) + 3 * group);
        bn_comb_free(comb);
        return NULL;
    }
    uint64_t *step = scratch + bn_scratch_words(ring), *steps = step + group, *x = steps + group;
    memcpy(step, base, group * sizeof *step);
    for (size_t i = 0; i < comb->windows; i++) {
        for (size_t word = i % lanes; word < group; word += lanes) steps[word] = step[word - i % lanes];
        if (i % lanes == lanes - 1 || i + 1 == comb->windows)
            fill_rows(comb, i - i % lanes, steps, x, scratch);
        for (size_t bit = 0; bit < w; bit++) kernels->square(ring, step, step, scratch);
    }
    finish(ring, scratch, 3 * group);
    return comb;
}

void bn_comb_free(bn_comb *comb) {
    if (comb == NULL) return;
    bn_release(comb->table, comb->table_words);
    free(comb);
}

/* Digit `i` of w bits of a little-endian exponent. */
static uint64_t little_digit(const uint8_t *exponent, size_t width, size_t i, size_t w) {
    uint64_t bits = 0;
    for (size_t byte = i * w / 8, shift = 0; shift < 24 && byte < width; byte++, shift += 8)
        bits |= (uint64_t)exponent[byte] << shift;
    return bits >> i * w % 8 & ((UINT64_C(1) << w) - 1);
}

/* Digit `i` of the exponents of one group; lanes that hold none get zero. */
static void take_digits(const bn_comb *comb, uint64_t *index, const uint8_t *exponents, size_t width, size_t present,
                        size_t i) {
    const bn_kernels *kernels = comb->ring->kernels;
    for (size_t lane = 0; lane < kernels->lanes; lane++)
        index[lane] = lane < present ? little_digit(exponents + lane * width, width, i, kernels->comb_window) : 0;
}

/* The powers of at most BATCH groups, which take each row of the table together. */
static void comb_batch(const bn_comb *comb, uint64_t *z, const uint8_t *exponents, size_t width, size_t count,
                       uint64_t *picked, uint64_t *index, uint64_t *scratch) {
    const bn_ring *ring = comb->ring;
    const bn_kernels *kernels = ring->kernels;
    size_t lanes = kernels->lanes, group = bn_group_words(ring), groups = (count + lanes - 1) / lanes;
    for (size_t i = 0; i < comb->windows; i++) {
        for (size_t g = 0; g < groups; g++) {
            size_t present = count - g * lanes < lanes ? count - g * lanes : lanes;
            take_digits(comb, index + g * lanes, exponents + g * lanes * width, width, present, i);
        }
        kernels->pick_shared(i == 0 ? z : picked, comb->table + i * row_words(ring), index, 2 * ring->digits, groups);
        if (i == 0) continue;
        for (size_t g = 0; g < groups; g++)
            kernels->multiply(ring, z + g * group, z + g * group, picked + g * group, scratch);
    }
}

int bn_comb_powers(const bn_comb *comb, uint64_t *z, const uint8_t *exponents, size_t width, size_t count) {
    const bn_ring *ring = comb->ring;
    size_t group = bn_group_words(ring), lanes = ring->kernels->lanes, words = BATCH * (group + lanes);
    uint64_t *scratch = workspace(ring, words);
    if (scratch == NULL) return 0;
    uint64_t *picked = scratch + bn_scratch_words(ring), *index = picked + BATCH * group;
    for (size_t done = 0; done < count; done += BATCH * lanes) {
        size_t left = count - done < BATCH * lanes ? count - done : BATCH * lanes;
        comb_batch(comb, z + done / lanes * group, exponents + done * width, width, left, picked, index, scratch);
    }
    return finish(ring, scratch, words);
}
