/*
 * Trials whose words are made where they are used, so that they never leave the first cache.
 */
#ifndef MEDCRYPT_NOISE_DRAW_H
#define MEDCRYPT_NOISE_DRAW_H

#include "ctr.h"
#include "noise.h"

enum { NOISE_PIECE = 512 }; /* trials at a time */
#define NOISE_OPEN SIZE_MAX

/*
 * The accepted values of `trials` trials, in order and at most `wanted`; returns how many, or NOISE_OPEN if a trial is
 * undecided. Then the caller runs the same trials again from the same words and settles them, and `out` is not yet drawn.
 *
 * The words are the key stream from block `first` on, as runs of `trials` words, which is an even number if there are
 * several runs. Pieces are made as long as values are wanted: how many trials were accepted is public.
 */
size_t noise_draw(noise_trials *run, const noise_shape *shape, const ctr_source *source, ctr_counter first,
                  size_t trials, int64_t *out, size_t wanted);

#endif
