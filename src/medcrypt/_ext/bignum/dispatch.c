/* One place that picks: the table of kernels is chosen once for each ring. */
#include "bignum.h"

#include <string.h>

const bn_kernels *bn_kernels_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx512") == 0) return &bn_ifma;
#else
    (void)path;
#endif
    return &bn_portable;
}
