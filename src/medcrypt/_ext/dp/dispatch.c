/* One place that picks. */
#include "dp.h"

#include <string.h>

const struct dp_kernels *dp_kernels_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return &dp_avx2;
    if (strcmp(path, "avx512") == 0) return &dp_avx512;
#else
    (void)path;
#endif
    return &dp_portable;
}
