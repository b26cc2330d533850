/*
 * Inverses modulo an odd n by division steps: Bernstein and Yang, Fast constant-time gcd computation and modular
 * inversion, CHES 2019.
 *
 * From f = n, g = x and delta = 1/2 on, every step is
 *
 *   (delta, f, g) <- (1 - delta, g, (g - f) / 2)             if delta > 0 and g is odd
 *                    (1 + delta, f, (g + (g mod 2) f) / 2)   otherwise
 *
 * until g = 0, when |f| is the greatest common divisor. What 62 steps do follows from the lowest 62 bits of f and g:
 * they multiply by a matrix t / 2^62 of integers, |t_00| + |t_01| <= 2^62 and |t_10| + |t_11| <= 2^62. So the steps
 * run on single words, and the long numbers, which have digits of 62 bits and a highest digit with a sign, are passed
 * once for every 62 of them. d and e accompany f and g with f = d x and g = e x (mod n), up to a power of 2.
 *
 * How many steps: (9437 b + 1) / 4096, rounded up, are enough for 0 <= x <= n <= 2^b. This bound for delta = 1/2 and
 * every b is proved formally in HOL Light (theorem DIVSTEP_ENDTOEND_BITS_SIMPLE of s2n-bignum, after the convex hulls of
 * Wuille, Bounds on divsteps iterations in safegcd, 2021).
 *
 * There are two of everything that takes time: `secret` takes all steps, whatever the numbers, on all digits; `public`
 * stops when g = 0, skips zeros in one go, and passes over no digits that are zero.
 */
#include "bignum.h"

#include <string.h>

enum { STEPS = 62 };

typedef __int128 wide;

static const uint64_t DIGIT = (UINT64_C(1) << STEPS) - 1;

/* 2^62 times what 62 steps do to (f, g): f' = (u f + v g) / 2^62, g' = (q f + r g) / 2^62. */
typedef struct {
    int64_t u, v, q, r;
} matrix;

/* Everything one inversion needs, in one piece of memory. */
typedef struct {
    size_t digits;      /* of n: its sign fits, too */
    size_t batches;     /* of 62 steps: that many are enough */
    uint64_t n_inverse; /* n^-1 mod 2^62 */
    int64_t *n, *f, *g; /* `digits` each */
    int64_t *d, *e;     /* batches + digits + 2 each: `public` does not divide before the end */
    uint64_t *memory;
    size_t words;
} state;

/* ---- digits of 62 bits ---------------------------------------------------------------------------------- */

static void split(int64_t *digits, size_t count, const uint64_t *x, size_t words) {
    for (size_t i = 0; i < count; i++) {
        size_t word = i * STEPS / 64, shift = i * STEPS % 64;
        uint64_t bits = word < words ? x[word] >> shift : 0;
        if (shift != 0 && word + 1 < words) bits |= x[word + 1] << (64 - shift);
        digits[i] = (int64_t)(bits & DIGIT);
    }
}

/* The low `width` bytes, big-endian, of digits in [0, 2^62). */
static void join(uint8_t *bytes, size_t width, const int64_t *digits, size_t count) {
    for (size_t i = 0; i < width; i++) {
        size_t digit = 8 * i / STEPS, shift = 8 * i % STEPS;
        uint64_t bits = digit < count ? (uint64_t)digits[digit] >> shift : 0;
        if (shift > STEPS - 8 && digit + 1 < count) bits |= (uint64_t)digits[digit + 1] << (STEPS - shift);
        bytes[width - 1 - i] = (uint8_t)bits;
    }
}

/* All ones if x is negative, else zeros. */
static int64_t sign_of(int64_t x) { return (int64_t)bn_opaque((uint64_t)(x >> 63)); }

/* x = -x where `flip` is all ones, x itself where it is zero. */
static void negate(int64_t *x, size_t digits, int64_t flip) {
    int64_t carry = 0;
    for (size_t i = 0; i < digits; i++) {
        carry += (x[i] ^ flip) - flip;
        x[i] = i + 1 < digits ? carry & (int64_t)DIGIT : carry;
        carry >>= STEPS;
    }
}

/* x += n where x is negative. */
static void add_if_negative(int64_t *x, const int64_t *n, size_t digits) {
    int64_t carry = 0, mask = sign_of(x[digits - 1]);
    for (size_t i = 0; i < digits; i++) {
        carry += x[i] + (n[i] & mask);
        x[i] = i + 1 < digits ? carry & (int64_t)DIGIT : carry;
        carry >>= STEPS;
    }
}

static int is_zero(const int64_t *x, size_t digits) {
    for (size_t i = 0; i < digits; i++)
        if (x[i] != 0) return 0;
    return 1;
}

/* All ones where x = 1, else zeros. */
static int64_t is_one(const int64_t *x, size_t digits) {
    uint64_t difference = (uint64_t)x[0] ^ 1;
    for (size_t i = 1; i < digits; i++) difference |= (uint64_t)x[i];
    return (int64_t)bn_opaque(((difference | (0 - difference)) >> 63) - 1);
}

/* ---- 62 steps on the lowest words ----------------------------------------------------------------------- */

/* `theta` is delta - 1/2. Unsigned: what overflows a word is never looked at. */
static int64_t secret_steps(matrix *t, int64_t theta, uint64_t f, uint64_t g) {
    uint64_t u = 1, v = 0, q = 0, r = 1, signed_theta = (uint64_t)theta;
    for (int i = 0; i < STEPS; i++) {
        uint64_t odd = bn_opaque(0 - (g & 1)), minus = bn_opaque(~(uint64_t)((int64_t)signed_theta >> 63));
        uint64_t swap = odd & minus;
        g += ((f ^ minus) - minus) & odd;
        q += ((u ^ minus) - minus) & odd;
        r += ((v ^ minus) - minus) & odd;
        signed_theta = (signed_theta ^ swap) + 1; /* -theta, or theta + 1 */
        f += g & swap;
        u += q & swap;
        v += r & swap;
        g >>= 1;
        u <<= 1;
        v <<= 1;
    }
    *t = (matrix){(int64_t)u, (int64_t)v, (int64_t)q, (int64_t)r};
    return (int64_t)signed_theta;
}

/* The same steps: runs of zeros at once, and up to 6 sums with the same f at once. Inlined, it has too few registers. */
static __attribute__((noinline)) int64_t public_steps(matrix *t, int64_t theta, uint64_t f, uint64_t g) {
    uint64_t u = 1, v = 0, q = 0, r = 1;
    for (int left = STEPS;;) {
        int zeros = __builtin_ctzll(g | UINT64_MAX << left);
        g >>= zeros, u <<= zeros, v <<= zeros;
        theta += zeros, left -= zeros;
        if (left == 0) break;
        if (theta >= 0) { /* exchanged with one sign changed, the next step is a sum as well */
            uint64_t old_f = f, old_u = u, old_v = v;
            f = g, u = q, v = r;
            g = 0 - old_f, q = 0 - old_u, r = 0 - old_v;
            theta = ~theta;
        }
        int64_t sums = -theta < left ? -theta : left; /* until f and g may be exchanged again */
        uint64_t mask = sums < 6 ? (UINT64_C(1) << sums) - 1 : 63;
        uint64_t factor = g * f * (f * f - 2) & mask; /* -g / f: f is its own inverse to 3 bits, f (2 - f^2) to 6 */
        g += factor * f, q += factor * u, r += factor * v;
    }
    *t = (matrix){(int64_t)u, (int64_t)v, (int64_t)q, (int64_t)r};
    return theta;
}

/* ---- the long numbers ----------------------------------------------------------------------------------- */

/* (f, g) <- t (f, g) / 2^62, which is exact. A sum stays below 2^62 2^62 + 2^64. */
static void transform(int64_t *f, int64_t *g, size_t digits, const matrix *t) {
    wide next_f = (wide)t->u * f[0] + (wide)t->v * g[0], next_g = (wide)t->q * f[0] + (wide)t->r * g[0];
    next_f >>= STEPS, next_g >>= STEPS;
    for (size_t i = 1; i < digits; i++) {
        next_f += (wide)t->u * f[i] + (wide)t->v * g[i];
        next_g += (wide)t->q * f[i] + (wide)t->r * g[i];
        f[i - 1] = (int64_t)((uint64_t)next_f & DIGIT), next_f >>= STEPS;
        g[i - 1] = (int64_t)((uint64_t)next_g & DIGIT), next_g >>= STEPS;
    }
    f[digits - 1] = (int64_t)next_f;
    g[digits - 1] = (int64_t)next_g;
}

/* (d, e) <- t (d, e): one digit longer. */
static void lengthen(int64_t *d, int64_t *e, size_t digits, const matrix *t) {
    wide next_d = 0, next_e = 0;
    for (size_t i = 0; i < digits; i++) {
        int64_t x = d[i], y = e[i];
        next_d += (wide)t->u * x + (wide)t->v * y;
        next_e += (wide)t->q * x + (wide)t->r * y;
        d[i] = (int64_t)((uint64_t)next_d & DIGIT), next_d >>= STEPS;
        e[i] = (int64_t)((uint64_t)next_e & DIGIT), next_e >>= STEPS;
    }
    d[digits] = (int64_t)next_d;
    e[digits] = (int64_t)next_e;
}

/*
 * (d, e) <- t (d, e) / 2^62 modulo n, both in (-2 n, n) before and after: with n added to those that are negative they
 * are in (-n, n), so t takes them into (-2^62 n, 2^62 n), and less than 2^62 n is taken off to make it exact.
 */
static void transform_modulo(const state *s, const matrix *t) {
    int64_t *d = s->d, *e = s->e, below_d = sign_of(d[s->digits - 1]), below_e = sign_of(e[s->digits - 1]);
    int64_t of_d = (t->u & below_d) + (t->v & below_e), of_e = (t->q & below_d) + (t->r & below_e);
    wide next_d = (wide)t->u * d[0] + (wide)t->v * e[0], next_e = (wide)t->q * d[0] + (wide)t->r * e[0];
    uint64_t n_0 = (uint64_t)s->n[0];
    of_d -= (int64_t)(((uint64_t)next_d + n_0 * (uint64_t)of_d) * s->n_inverse & DIGIT);
    of_e -= (int64_t)(((uint64_t)next_e + n_0 * (uint64_t)of_e) * s->n_inverse & DIGIT);
    next_d += (wide)of_d * s->n[0], next_e += (wide)of_e * s->n[0];
    next_d >>= STEPS, next_e >>= STEPS;
    for (size_t i = 1; i < s->digits; i++) {
        next_d += (wide)t->u * d[i] + (wide)t->v * e[i] + (wide)of_d * s->n[i];
        next_e += (wide)t->q * d[i] + (wide)t->r * e[i] + (wide)of_e * s->n[i];
        d[i - 1] = (int64_t)((uint64_t)next_d & DIGIT), next_d >>= STEPS;
        e[i - 1] = (int64_t)((uint64_t)next_e & DIGIT), next_e >>= STEPS;
    }
    d[s->digits - 1] = (int64_t)next_d;
    e[s->digits - 1] = (int64_t)next_e;
}

/* One digit off, if the highest of both numbers is nothing but a sign. */
static size_t trimmed(int64_t *x, int64_t *y, size_t digits) {
    if (digits == 1 || (x[digits - 1] != 0 && x[digits - 1] != -1) || (y[digits - 1] != 0 && y[digits - 1] != -1))
        return digits;
    x[digits - 2] -= (int64_t)((uint64_t)x[digits - 1] & 1) << STEPS;
    y[digits - 2] -= (int64_t)((uint64_t)y[digits - 1] & 1) << STEPS;
    x[digits - 1] = y[digits - 1] = 0;
    return digits - 1;
}

/* ---- one inversion -------------------------------------------------------------------------------------- */

static int make(state *s, const uint8_t *modulus, size_t width) {
    size_t words = (width + 7) / 8, bits = 64 * words;
    uint64_t *n = bn_allocate(words);
    if (n == NULL) return 0;
    bn_words_of_bytes(n, words, modulus, width);
    while (!(n[(bits - 1) / 64] >> (bits - 1) % 64 & 1)) bits--; /* the length of a modulus is public */
    s->digits = bits / STEPS + 1;
    s->batches = ((9437 * bits + 1 + 4095) / 4096 + STEPS - 1) / STEPS;
    s->words = 3 * s->digits + 2 * (s->batches + s->digits + 2);
    s->memory = bn_allocate(s->words);
    if (s->memory != NULL) {
        s->n = (int64_t *)s->memory, s->f = s->n + s->digits, s->g = s->f + s->digits;
        s->d = s->g + s->digits, s->e = s->d + s->batches + s->digits + 2;
        split(s->n, s->digits, n, words);
        s->n_inverse = n[0];
        for (int i = 0; i < 5; i++) s->n_inverse *= 2 - n[0] * s->n_inverse; /* 3 bits are right, then 6, 12, ... */
    }
    bn_release(n, words);
    return s->memory != NULL;
}

/* f = n, g = x, d = 0, e = 1; returns all ones if x < n, else zeros. */
static int64_t start(state *s, const uint64_t *x, size_t words) {
    int64_t borrow = 0;
    memset(s->f, 0, (s->words - s->digits) * sizeof *s->f);
    memcpy(s->f, s->n, s->digits * sizeof *s->f);
    split(s->g, s->digits, x, words);
    s->e[0] = 1;
    for (size_t i = 0; i < s->digits; i++) borrow = (s->g[i] - s->n[i] + borrow) >> STEPS;
    return borrow;
}

/* d = x^-1; returns all ones if f, the greatest common divisor up to a sign, says that there is one. */
static int64_t secret_inverse(state *s) {
    int64_t theta = 0;
    matrix t;
    for (size_t i = 0; i < s->batches; i++) {
        theta = secret_steps(&t, theta, (uint64_t)s->f[0], (uint64_t)s->g[0]);
        transform_modulo(s, &t);
        transform(s->f, s->g, s->digits, &t);
    }
    int64_t flip = sign_of(s->f[s->digits - 1]);
    add_if_negative(s->d, s->n, s->digits); /* from (-2 n, n) into (-n, n) */
    negate(s->d, s->digits, flip);
    add_if_negative(s->d, s->n, s->digits);
    negate(s->f, s->digits, flip);
    bn_wipe(&t, sizeof t);
    return is_one(s->f, s->digits);
}

/* What n is multiplied by for a sum with x that 2^62 divides. */
static int64_t quotient(const state *s, uint64_t x) { return (int64_t)((0 - x) * s->n_inverse & DIGIT); }

/* d <- d / 2^(62 batches) modulo n for 0 <= d <= 2^(62 batches): the result is at most n. Two quotient digits in one
 * pass over n, where there are as many. */
static void divide(state *s, size_t batches) {
    const int64_t *n = s->n;
    size_t digits = s->digits;
    wide above = 0;
    for (size_t i = 0, pair; i < batches; i += 1 + pair) {
        int64_t *d = s->d + i, q = quotient(s, (uint64_t)d[0]), r = 0;
        wide sum = ((wide)q * n[0] + d[0]) >> STEPS;
        pair = i + 1 < batches && digits > 1;
        if (pair) {
            sum += (wide)q * n[1] + d[1];
            r = quotient(s, (uint64_t)sum);
            sum = (sum + (wide)r * n[0]) >> STEPS;
        }
        for (size_t j = 1 + pair; j < digits; j++) {
            sum += (wide)q * n[j] + d[j] + (wide)r * n[j - pair];
            d[j] = (int64_t)((uint64_t)sum & DIGIT), sum >>= STEPS;
        }
        if (pair) {
            above += sum + d[digits] + (wide)r * n[digits - 1];
            d[digits] = (int64_t)((uint64_t)above & DIGIT), above >>= STEPS;
            sum = 0;
        }
        above += sum + d[digits + pair];
        d[digits + pair] = (int64_t)((uint64_t)above & DIGIT), above >>= STEPS;
    }
    memmove(s->d, s->d + batches, digits * sizeof *s->d);
}

static int64_t public_inverse(state *s) {
    size_t digits = s->digits, length = 1, batches = 0;
    int64_t theta = 0;
    matrix t;
    for (; !is_zero(s->g, digits); batches++) {
        theta = public_steps(&t, theta, (uint64_t)s->f[0], (uint64_t)s->g[0]);
        transform(s->f, s->g, digits, &t);
        lengthen(s->d, s->e, length, &t);
        digits = trimmed(s->f, s->g, digits);
        length = trimmed(s->d, s->e, length + 1);
    }
    int64_t flip_f = sign_of(s->f[digits - 1]), flip_d = sign_of(s->d[length - 1]);
    negate(s->f, digits, flip_f);
    negate(s->d, length, flip_d);
    divide(s, batches);
    negate(s->d, s->digits, flip_f ^ flip_d);
    add_if_negative(s->d, s->n, s->digits);
    return is_one(s->f, digits);
}

static int inverses(uint8_t *results, const uint8_t *values, size_t width, size_t count, const uint8_t *n, int *all,
                    int64_t (*invert)(state *)) {
    size_t words = (width + 7) / 8;
    uint64_t *x = bn_allocate(words);
    int64_t good = -1;
    state s;
    if (x == NULL || !make(&s, n, width)) {
        bn_release(x, words);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        bn_words_of_bytes(x, words, values + i * width, width);
        good &= start(&s, x, words);
        good &= invert(&s);
        join(results + i * width, width, s.d, s.digits);
    }
    *all = good != 0;
    bn_release(x, words);
    bn_release(s.memory, s.words);
    bn_wipe(&s, sizeof s);
    bn_burn_stack();
    return 1;
}

int bn_inverses(uint8_t *results, const uint8_t *values, size_t width, size_t count, const uint8_t *n, int *all) {
    return inverses(results, values, width, count, n, all, secret_inverse);
}

int bn_public_inverses(uint8_t *results, const uint8_t *values, size_t width, size_t count, const uint8_t *n, int *all) {
    return inverses(results, values, width, count, n, all, public_inverse);
}
