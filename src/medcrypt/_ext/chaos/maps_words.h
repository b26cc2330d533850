/*
 * The maps for words of one size, which the including file has named:
 *
 *   BITS, word, sword      unsigned and signed words
 *   NAMED(x)               x with the size behind it
 *   product_shifted(a, b, n)   floor(a b / 2^n), n <= BITS, the result's lower BITS bits
 *   signed_shifted(a, b, n)    the same for signed words
 *   sine_of(y)             s of `maps.h`
 */

static inline word NAMED(hi)(word a, word b) { return NAMED(product_shifted)(a, b, BITS); }
static inline word NAMED(quadratic)(word x) { return NAMED(product_shifted)(x, (word)~x, BITS - 2); }
static inline word NAMED(down)(word x, int n) { return (word)((sword)x >> n); }
static inline word NAMED(scaled)(word a, word b, int fraction) { return NAMED(signed_shifted)(a, b, fraction); }

static inline void NAMED(logistic)(word *x, const word *q) { x[0] = NAMED(hi)(q[0], NAMED(quadratic)(x[0])); }

static inline void NAMED(tent)(word *x, const word *q) {
    const word folded = x[0] ^ (word)-(x[0] >> (BITS - 1));
    x[0] = NAMED(hi)(q[0], (word)(folded << 1));
}

static inline void NAMED(piecewise)(word *x, const word *q) {
    const word folded = x[0] ^ (word)-(x[0] >> (BITS - 1));
    const word beyond = (word)-(word)(folded >= q[0]);
    const word from = folded - (q[0] & beyond), slope = (q[1] & (word)~beyond) | (q[2] & beyond);
    x[0] = NAMED(product_shifted)(from, slope, BITS - 5);
}

static inline void NAMED(sine)(word *x, const word *q) {
    x[0] = NAMED(hi)(q[0], NAMED(sine_of)(NAMED(quadratic)(x[0])));
}

static inline void NAMED(henon)(word *x, const word *q) {
    enum { F = BITS - 3 };
    const word square = NAMED(scaled)(x[0], x[0], F);
    const word next = ((word)1 << F) - NAMED(scaled)(q[0], square, F) + x[1];
    x[1] = NAMED(scaled)(q[1], x[0], F);
    x[0] = next;
}

static inline void NAMED(plane)(word *x, word *y, word a, word b) {
    *x += a * *y;
    *y += b * *x;
}

static inline void NAMED(cat)(word *x, const word *q) { NAMED(plane)(&x[0], &x[1], q[0], q[1]); }

static inline void NAMED(cat3)(word *x, const word *q) {
    NAMED(plane)(&x[0], &x[1], q[0], q[1]);
    NAMED(plane)(&x[1], &x[2], q[0], q[1]);
    NAMED(plane)(&x[2], &x[0], q[0], q[1]);
}

static inline void NAMED(baker)(word *x, const word *q) {
    (void)q;
    const word first = x[0] >> (BITS - 1), last = x[1] & 1;
    x[0] = (word)(x[0] << 1) | last;
    x[1] = x[1] >> 1 | (word)(first << (BITS - 1));
}

static inline void NAMED(lorenz)(word *x, const word *q) {
    enum { F = BITS - 7, STEP = 8 };
    const word dx = NAMED(scaled)(q[0], x[1] - x[0], F);
    const word dy = NAMED(scaled)(q[1], x[0], F) - NAMED(scaled)(x[0], x[2], F - 6) - x[1];
    const word dz = NAMED(scaled)(x[0], x[1], F - 6) - NAMED(scaled)(q[2], x[2], F);
    x[0] += NAMED(down)(dx, STEP);
    x[1] += NAMED(down)(dy, STEP);
    x[2] += NAMED(down)(dz, STEP);
}

static inline void NAMED(chen)(word *x, const word *q) {
    enum { F = BITS - 7, STEP = 10 };
    const word dx = NAMED(scaled)(q[0], x[1] - x[0], F);
    const word dy = NAMED(scaled)(q[2] - q[0], x[0], F) - NAMED(scaled)(x[0], x[2], F - 6) +
                    NAMED(scaled)(q[2], x[1], F);
    const word dz = NAMED(scaled)(x[0], x[1], F - 6) - NAMED(scaled)(q[1], x[2], F);
    x[0] += NAMED(down)(dx, STEP);
    x[1] += NAMED(down)(dy, STEP);
    x[2] += NAMED(down)(dz, STEP);
}

static inline word NAMED(coupled)(word x, word y, word p) {
    const word u = NAMED(hi)(p, NAMED(quadratic)(x)) +
                   NAMED(hi)((word)~p, NAMED(sine_of)(NAMED(quadratic)(y)));
    return NAMED(sine_of)(NAMED(quadratic)(u));
}

static inline void NAMED(coupling)(word *x, const word *q) {
    x[0] = NAMED(coupled)(x[0], x[1], q[0]);
    x[1] = NAMED(coupled)(x[1], x[0], q[0]);
}

/* Constant dimensions: the compiler keeps a lane's words in registers, and does many lanes at a time. */
#define ADVANCE(map, dimensions, parameters)                                                                       \
    static void NAMED(advance_##map)(word *restrict state, const word *restrict q, word *restrict spare,           \
                                     size_t lanes, uint64_t steps) {                                               \
        (void)spare;                                                                                               \
        for (; steps > 0; steps--)                                                                                 \
            for (size_t l = 0; l < lanes; l++) {                                                                   \
                word x[dimensions], p[parameters + 1] = {0};                                                       \
                for (int d = 0; d < dimensions; d++) x[d] = state[(size_t)d * lanes + l];                          \
                for (int k = 0; k < parameters; k++) p[k] = q[(size_t)k * lanes + l];                              \
                NAMED(map)(x, p);                                                                                  \
                for (int d = 0; d < dimensions; d++) state[(size_t)d * lanes + l] = x[d];                          \
            }                                                                                                      \
    }

ADVANCE(logistic, 1, 1)
ADVANCE(tent, 1, 1)
ADVANCE(piecewise, 1, 3)
ADVANCE(sine, 1, 1)
ADVANCE(henon, 2, 2)
ADVANCE(cat, 2, 2)
ADVANCE(cat3, 3, 2)
ADVANCE(baker, 2, 0)
ADVANCE(lorenz, 3, 3)
ADVANCE(chen, 3, 3)
ADVANCE(coupling, 2, 1)

#undef ADVANCE

static inline word NAMED(neighbours)(word own, word left, word right, word e) {
    const word mean = (left & right) + ((left ^ right) >> 1); /* without the carry */
    return NAMED(hi)((word)~e, own) + NAMED(hi)(e, mean);
}

static void NAMED(advance_lattice)(word *restrict state, const word *restrict q, word *restrict spare, size_t lanes,
                                   uint64_t steps) {
    const word *e = q + lanes;
    if (lanes == 0) return;
    for (; steps > 0; steps--) {
        for (size_t l = 0; l < lanes; l++) {
            word x = state[l];
            NAMED(logistic)(&x, &q[l]);
            spare[l] = x;
        }
        state[0] = NAMED(neighbours)(spare[0], spare[lanes - 1], spare[1 % lanes], e[0]);
        for (size_t l = 1; l + 1 < lanes; l++)
            state[l] = NAMED(neighbours)(spare[l], spare[l - 1], spare[l + 1], e[l]);
        if (lanes > 1)
            state[lanes - 1] = NAMED(neighbours)(spare[lanes - 1], spare[lanes - 2], spare[0], e[lanes - 1]);
    }
}
