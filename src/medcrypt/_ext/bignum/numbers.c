/* Number theory: Jacobi symbols of public numbers, and the sieve that prime searches start from.
 *
 * The sieve is not constant time: its addresses follow the residues of the search's secret start. Whoever can
 * trace memory accesses while a key is made learns them; docs/explanation/paillier.md says so. */
#include "bignum.h"

#include <string.h>

#if defined(__linux__)
#include <errno.h>
#include <sys/random.h>
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
#include <stdlib.h>
#endif

/* Python's os.urandom would leave a copy behind that nobody can wipe. */
int bn_random(uint8_t *out, size_t size) {
#if defined(__linux__)
    while (size > 0) {
        ssize_t got = getrandom(out, size, 0);
        if (got < 0 && errno != EINTR) return 0;
        if (got > 0) out += got, size -= (size_t)got;
    }
    return 1;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
    arc4random_buf(out, size);
    return 1;
#else
    return size == 0;
#endif
}

static int is_zero(const uint64_t *x, size_t words) {
    uint64_t any = 0;
    for (size_t i = 0; i < words; i++) any |= x[i];
    return any == 0;
}

static int is_less(const uint64_t *x, const uint64_t *y, size_t words) {
    for (size_t i = words; i-- > 0;)
        if (x[i] != y[i]) return x[i] < y[i];
    return 0;
}

static void subtract(uint64_t *x, const uint64_t *y, size_t words) {
    uint64_t borrow = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t d = x[i] - y[i], both = d - borrow;
        borrow = (x[i] < y[i]) | (d < borrow);
        x[i] = both;
    }
}

/* Divide by 2 while even; returns how often. x is not zero. */
static size_t strip_twos(uint64_t *x, size_t words) {
    size_t twos = 0;
    while (x[0] == 0) {
        memmove(x, x + 1, (words - 1) * sizeof *x);
        x[words - 1] = 0;
        twos += 64;
    }
    size_t shift = (size_t)__builtin_ctzll(x[0]);
    if (shift == 0) return twos;
    for (size_t i = 0; i < words; i++) x[i] = x[i] >> shift | (i + 1 < words ? x[i + 1] << (64 - shift) : 0);
    return twos + shift;
}

int bn_in_range(const uint8_t *values, size_t width, size_t count, const uint8_t *limit) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t *x = values + i * width;
        uint8_t any = 0;
        for (size_t j = 0; j < width; j++) any |= x[j];
        if (any == 0 || memcmp(x, limit, width) >= 0) return 0;
    }
    return 1;
}

int bn_fit(const uint8_t *values, size_t width, size_t count, size_t bits, int little_endian) {
    uint8_t beyond = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = bits / 8; j < width; j++) {
            uint8_t byte = values[i * width + (little_endian ? j : width - 1 - j)];
            beyond |= j == bits / 8 ? (uint8_t)(byte >> bits % 8) : byte;
        }
    return beyond == 0;
}

/*
 * The binary algorithm: (2 / n) = -1 where n = 3, 5 mod 8; for odd a and n, (a / n) = (n / a), but for the sign
 * -1 where both are 3 mod 4; and (a / n) = (a - n / n).
 */
static int jacobi(uint64_t *a, uint64_t *n, size_t words) {
    int sign = 1;
    while (!is_zero(a, words)) {
        uint64_t residue = n[0] & 7;
        if (strip_twos(a, words) % 2 == 1 && (residue == 3 || residue == 5)) sign = -sign;
        if (is_less(a, n, words)) {
            if ((a[0] & n[0] & 3) == 3) sign = -sign;
            uint64_t *smaller = a;
            a = n;
            n = smaller;
        }
        subtract(a, n, words);
        while (words > 1 && (a[words - 1] | n[words - 1]) == 0) words--;
    }
    int one = n[0] == 1;
    for (size_t i = 1; i < words; i++) one &= n[i] == 0;
    return one ? sign : 0;
}

int bn_jacobi(int8_t *symbols, const uint8_t *values, size_t width, size_t count, const uint8_t *n) {
    size_t words = (width + 7) / 8;
    uint64_t *x = bn_allocate(2 * words);
    if (x == NULL) return 0;
    for (size_t i = 0; i < count; i++) {
        bn_words_of_bytes(x, words, values + i * width, width);
        bn_words_of_bytes(x + words, words, n, width);
        symbols[i] = (int8_t)jacobi(x, x + words, words);
    }
    bn_release(x, 2 * words);
    return 1;
}

void bn_strike(uint8_t *alive, size_t span, const uint32_t *primes, const uint32_t *first, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t at = first[i]; at < span; at += primes[i]) alive[at] = 0;
}
