#include "draw.h"

#include <string.h>

typedef struct {
    _Alignas(64) uint64_t words[3 * NOISE_PIECE];
    int64_t values[NOISE_PIECE];
    uint8_t verdicts[NOISE_PIECE];
} piece_state;

enum { WORDS_OF_BLOCK = CTR_BLOCK / sizeof(uint64_t) };

static ctr_counter later(ctr_counter counter, uint64_t blocks) {
    counter.low += blocks;
    counter.high += counter.low < blocks;
    return counter;
}

/* The words of some trials from `start` on, which is even; the key stream's bytes are little-endian words. */
static void make_words(const noise_shape *shape, const ctr_source *source, ctr_counter first, size_t trials, size_t start,
                       size_t count, uint64_t *words) {
    for (size_t r = 0; r < noise_runs(shape); r++) {
        const ctr_counter here = later(first, (r * trials + start) / WORDS_OF_BLOCK);
        source->apply(source->key, here, (uint8_t *)(words + r * count), count * sizeof *words, CTR_WRITE);
    }
}

size_t noise_draw(noise_trials *run, const noise_shape *shape, const ctr_source *source, ctr_counter first,
                  size_t trials, int64_t *out, size_t wanted) {
    piece_state piece;
    size_t filled = 0;
    for (size_t start = 0; start < trials && filled < wanted; start += NOISE_PIECE) {
        const size_t count = trials - start < NOISE_PIECE ? trials - start : NOISE_PIECE;
        make_words(shape, source, first, trials, start, count, piece.words);
        run(shape, piece.words, count, piece.values, piece.verdicts);
        if (noise_undecided(piece.verdicts, count) > 0) {
            filled = NOISE_OPEN;
            break;
        }
        const size_t accepted = noise_gather(piece.values, piece.verdicts, count);
        const size_t taken = accepted < wanted - filled ? accepted : wanted - filled;
        memcpy(out + filled, piece.values, taken * sizeof *out);
        filled += taken;
    }
    noise_wipe(&piece, sizeof piece);
    return filled;
}
