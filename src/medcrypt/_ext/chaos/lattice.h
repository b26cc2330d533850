/*
 * The kernels, for an instruction set whose file has defined
 *
 *   word, WORDS            a register of some lanes, and how many make 8 lanes
 *   PARTS_ABREAST          how many of them a pass steps side by side
 *   load, store            aligned or not
 *   ones(x)                x in every lane
 *   numbers()              l in lane l of a register
 *   add, sub, xor, xor3    modulo 2^64; the last of three words
 *   upper                  the upper half in the lower; above it anything
 *   product                of the lower halves, 64 bits
 *   left, right            rotations by 29
 *   read_line(line, g, x)  x_h(l) = line(l + g mod 8), 0 <= g < 8
 *
 * The loops over registers and nodes have constant bounds: the compiler unrolls them, and renames instead of moving.
 */
#include "chaos.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    word x[CHAOS_NODES];
} lattice; /* of the lanes of one register */

typedef struct {
    lattice part[WORDS];
} row;

INLINE word local_map(word a) { return product(a, sub(upper(a), a)); }

INLINE lattice step(lattice s, uint64_t constant) {
    const word b1 = xor(left(add(add(s.x[1], ones(constant)), local_map(s.x[0]))), s.x[0]);
    const word b3 = xor(left(add(s.x[3], local_map(s.x[2]))), s.x[2]);
    const word b5 = xor(left(add(s.x[5], local_map(s.x[4]))), s.x[4]);
    const word b7 = xor(left(add(s.x[7], local_map(s.x[6]))), s.x[6]);
    const lattice next = {{b1, s.x[2], b5, s.x[0], b3, s.x[6], b7, s.x[4]}};
    return next;
}

INLINE lattice unstep(lattice n, uint64_t constant) {
    const word a0 = n.x[3], a2 = n.x[1], a4 = n.x[7], a6 = n.x[5];
    const word b1 = sub(sub(right(xor(n.x[0], a0)), local_map(a0)), ones(constant));
    const word b3 = sub(right(xor(n.x[4], a2)), local_map(a2));
    const word b5 = sub(right(xor(n.x[2], a4)), local_map(a4));
    const word b7 = sub(right(xor(n.x[6], a6)), local_map(a6));
    const lattice before = {{a0, b1, a2, b3, a4, b5, a6, b7}};
    return before;
}

#define STEP_CONSTANT(s) ((uint64_t)((s) + 1) * UINT64_C(0x9e3779b97f4a7c15))

/*
 * A step is a chain of some eleven cycles from product to product. The processor looks no more than two or three
 * steps ahead, so the next lattice does not fill the gaps by itself: it has to stand beside the first in the code.
 */
INLINE void step_all(lattice *s, int count, uint64_t constant) {
    for (int g = 0; g < count; g++) s[g] = step(s[g], constant);
}

INLINE void unstep_all(lattice *s, int count, uint64_t constant) {
    for (int g = 0; g < count; g++) s[g] = unstep(s[g], constant);
}

/* Eight steps bring every node back to its register. */
INLINE void steps_of(lattice *s, int count, unsigned steps) {
    unsigned i = 0;
    for (; i + 8 <= steps; i += 8) {
        step_all(s, count, STEP_CONSTANT(i));
        step_all(s, count, STEP_CONSTANT(i + 1));
        step_all(s, count, STEP_CONSTANT(i + 2));
        step_all(s, count, STEP_CONSTANT(i + 3));
        step_all(s, count, STEP_CONSTANT(i + 4));
        step_all(s, count, STEP_CONSTANT(i + 5));
        step_all(s, count, STEP_CONSTANT(i + 6));
        step_all(s, count, STEP_CONSTANT(i + 7));
    }
    for (; i < steps; i++) step_all(s, count, STEP_CONSTANT(i));
}

INLINE void unsteps_of(lattice *s, int count, unsigned steps) {
    unsigned i = steps;
    for (; i % 8 != 0; i--) unstep_all(s, count, STEP_CONSTANT(i - 1));
    for (; i > 0; i -= 8) {
        unstep_all(s, count, STEP_CONSTANT(i - 1));
        unstep_all(s, count, STEP_CONSTANT(i - 2));
        unstep_all(s, count, STEP_CONSTANT(i - 3));
        unstep_all(s, count, STEP_CONSTANT(i - 4));
        unstep_all(s, count, STEP_CONSTANT(i - 5));
        unstep_all(s, count, STEP_CONSTANT(i - 6));
        unstep_all(s, count, STEP_CONSTANT(i - 7));
        unstep_all(s, count, STEP_CONSTANT(i - 8));
    }
}

/* Single words stay a loop, of which the compiler makes vectors if it can. */
#if WORDS <= 4
#define UNROLLED _Pragma("GCC unroll 4")
#else
#define UNROLLED
#endif

#define EACH_PART for (int h = 0; h < WORDS; h++)
#define EACH_GROUP UNROLLED for (int h = 0; h < WORDS; h += PARTS_ABREAST)
#define EACH_OF_GROUP for (int g = 0; g < PARTS_ABREAST; g++)
#define EACH_NODE for (int w = 0; w < CHAOS_NODES; w++)

/* Where the part h of word w lies in a row. */
INLINE size_t place(int w, int h) { return (size_t)w * CHAOS_LINE + (size_t)h * (CHAOS_LINE / WORDS); }

INLINE row load_row(const uint8_t *from) {
    row r;
    EACH_PART EACH_NODE r.part[h].x[w] = load(from + place(w, h));
    return r;
}

INLINE void store_part(uint8_t *to, const lattice *s, int h) {
    EACH_NODE store(to + place(w, h), s->x[w]);
}

/* ---- the generator -------------------------------------------------------------------------------- */

#define STREAM_ABREAST 2

/* `count` registers of the stream from number u on; those of row `first` have the numbers 0 to WORDS - 1. */
INLINE void stream_parts(const uint64_t seed[CHAOS_NODES], unsigned steps, uint64_t domain, uint64_t first, size_t u,
                         int count, const uint8_t *src, uint8_t *dst) {
    lattice start[STREAM_ABREAST], z[STREAM_ABREAST];
    for (int g = 0; g < count; g++) {
        EACH_NODE start[g].x[w] = ones(seed[w]);
        const word lane = add(ones(CHAOS_LANES * first + (u + (size_t)g) * (CHAOS_LANES / WORDS)), numbers());
        start[g].x[0] = add(start[g].x[0], lane);
        start[g].x[4] = add(start[g].x[4], ones(domain));
        z[g] = start[g];
    }
    steps_of(z, count, steps);
    for (int g = 0; g < count; g++) {
        const size_t above = (u + (size_t)g) / WORDS * CHAOS_ROW;
        const int h = (int)((u + (size_t)g) % WORDS);
        EACH_NODE {
            const size_t at = above + place(w, h);
            store(dst + at, xor(load(src + at), add(z[g].x[w], start[g].x[w])));
        }
    }
}

INLINE void stream_rows(const uint64_t seed[CHAOS_NODES], unsigned steps, uint64_t domain, uint64_t first,
                        const uint8_t *src, uint8_t *dst, size_t rows) {
    size_t u = 0;
    for (; u + STREAM_ABREAST <= rows * WORDS; u += STREAM_ABREAST)
        stream_parts(seed, steps, domain, first, u, STREAM_ABREAST, src, dst);
    for (; u < rows * WORDS; u++) stream_parts(seed, steps, domain, first, u, 1, src, dst);
}

static void stream(const uint64_t seed[CHAOS_NODES], unsigned steps, uint64_t domain, uint64_t first,
                   const uint8_t *src, uint8_t *dst, size_t size) {
    const size_t rows = size / CHAOS_ROW, whole = rows * CHAOS_ROW, rest = size - whole;
    if (steps == CHAOS_STREAM_STEPS) stream_rows(seed, CHAOS_STREAM_STEPS, domain, first, src, dst, rows);
    else stream_rows(seed, steps, domain, first, src, dst, rows);
    if (rest == 0) return;
    uint8_t last[CHAOS_ROW] = {0};
    memcpy(last, src + whole, rest);
    stream_rows(seed, steps, domain, first + rows, last, last, 1);
    memcpy(dst + whole, last, rest);
    chaos_wipe(last, sizeof last);
}

static void one_way(unsigned steps, const uint8_t src[CHAOS_ROW], uint8_t dst[CHAOS_ROW]) {
    const row start = load_row(src);
    row z = start;
    EACH_PART {
        steps_of(&z.part[h], 1, steps);
        EACH_NODE z.part[h].x[w] = add(z.part[h].x[w], start.part[h].x[w]);
        store_part(dst, &z.part[h], h);
    }
}

/* ---- the passes ----------------------------------------------------------------------------------- */

/* The index bijection: row number `from`, at most m - 1, and the turn of its lanes. */
INLINE const uint8_t *line_of(const chaos_pass *p, const uint8_t *rows, size_t m, size_t j, int w, unsigned *turn) {
    size_t from = j + p->shift[w];
    from -= m & (size_t)-(ptrdiff_t)(from >= m);
    *turn = (unsigned)(p->turn[w] * j + p->turned[w]) % CHAOS_LANES;
    return rows + from * CHAOS_ROW + (size_t)w * CHAOS_LINE;
}

INLINE row gather(const chaos_pass *p, const uint8_t *rows, size_t m, size_t j) {
    row r;
    EACH_NODE {
        unsigned turn;
        const uint8_t *line = line_of(p, rows, m, j, w, &turn);
        word x[WORDS];
        read_line(line, turn, x);
        EACH_PART r.part[h].x[w] = x[h];
    }
    return r;
}

INLINE void scatter(const chaos_pass *p, uint8_t *rows, size_t m, size_t j, const row *r) {
    EACH_NODE {
        unsigned turn;
        uint8_t *line = (uint8_t *)line_of(p, rows, m, j, w, &turn);
        _Alignas(64) uint8_t straight[CHAOS_LINE];
        EACH_PART store(straight + place(0, h), r->part[h].x[w]);
        word x[WORDS];
        read_line(straight, (CHAOS_LANES - turn) % CHAOS_LANES, x);
        EACH_PART store(line + place(0, h), x[h]);
    }
}

INLINE void pass_of(const chaos_network *network, unsigned steps, unsigned number, const uint8_t v[CHAOS_ROW],
                    const uint8_t *src, uint8_t *dst) {
    const chaos_pass *p = &network->pass[number];
    const size_t m = network->rows;
    row chain = load_row(v);
    for (size_t i = 0; i < m; i++) {
        const size_t j = number % 2 == 0 ? i : m - 1 - i;
        const row y = gather(p, src, m, j);
        EACH_GROUP {
            lattice s[PARTS_ABREAST];
            EACH_OF_GROUP {
                const lattice *in = &y.part[h + g], *back = &chain.part[h + g];
                EACH_NODE s[g].x[w] = xor3(in->x[w], load(p->before + place(w, h + g)), back->x[w]);
                s[g].x[0] = add(s[g].x[0], ones(j));
            }
            steps_of(s, PARTS_ABREAST, steps);
            EACH_OF_GROUP {
                EACH_NODE s[g].x[w] = xor(s[g].x[w], load(p->after + place(w, h + g)));
                store_part(dst + j * CHAOS_ROW, &s[g], h + g);
                chain.part[h + g] = s[g];
            }
        }
    }
}

INLINE void unpass_of(const chaos_network *network, unsigned steps, unsigned number, const uint8_t v[CHAOS_ROW],
                      const uint8_t *src, uint8_t *dst) {
    const chaos_pass *p = &network->pass[number];
    const size_t m = network->rows;
    row chain = load_row(v);
    for (size_t i = 0; i < m; i++) {
        const size_t j = number % 2 == 0 ? i : m - 1 - i;
        const row z = load_row(src + j * CHAOS_ROW);
        row y;
        EACH_GROUP {
            lattice s[PARTS_ABREAST];
            EACH_OF_GROUP EACH_NODE s[g].x[w] = xor(z.part[h + g].x[w], load(p->after + place(w, h + g)));
            unsteps_of(s, PARTS_ABREAST, steps);
            EACH_OF_GROUP {
                const lattice *back = &chain.part[h + g];
                s[g].x[0] = sub(s[g].x[0], ones(j));
                EACH_NODE y.part[h + g].x[w] = xor3(s[g].x[w], load(p->before + place(w, h + g)), back->x[w]);
            }
        }
        scatter(p, dst, m, j, &y);
        chain = z;
    }
}

/* The cipher's own number of steps is a constant to the compiler. */
static void pass(const chaos_network *network, unsigned number, const uint8_t v[CHAOS_ROW], const uint8_t *src,
                 uint8_t *dst) {
    if (network->steps == 8) pass_of(network, 8, number, v, src, dst);
    else pass_of(network, network->steps, number, v, src, dst);
}

static void unpass(const chaos_network *network, unsigned number, const uint8_t v[CHAOS_ROW], const uint8_t *src,
                   uint8_t *dst) {
    if (network->steps == 8) unpass_of(network, 8, number, v, src, dst);
    else unpass_of(network, network->steps, number, v, src, dst);
}
