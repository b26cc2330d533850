/* One place that picks, and what is the same on every path. */
#include "noise.h"

#include <string.h>

noise_trials *noise_trials_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return noise_avx2;
    if (strcmp(path, "avx512") == 0) return noise_avx512;
#else
    (void)path;
#endif
    return noise_portable;
}

size_t noise_gather(int64_t *values, const uint8_t *verdicts, size_t trials) {
    size_t count = 0;
    for (size_t i = 0; i < trials; i++) {
        values[count] = values[i];
        count += verdicts[i] & 1;
    }
    return count;
}

size_t noise_undecided(const uint8_t *verdicts, size_t trials) {
    size_t count = 0;
    for (size_t i = 0; i < trials; i++) count += verdicts[i] >> 1;
    return count;
}

/* A call through a volatile pointer is one that no compiler may leave out. */
static void *(*const volatile fill)(void *, int, size_t) = memset;

void noise_wipe(void *memory, size_t size) {
    if (size > 0) fill(memory, 0, size);
}

__attribute__((noinline)) void noise_burn_stack(void) {
    uint8_t frame[4096]; /* more than the frame of any path's tile: what a compiler kept there goes as well */
    noise_wipe(frame, sizeof frame);
}
