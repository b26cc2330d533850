/* One place that picks, and the sizes of each map. */
#include "maps.h"

#include <string.h>

/*                                       logistic tent piecewise sine henon cat cat3 baker lorenz chen coupling lattice */
const int maps_dimensions[MAPS_KINDS] = {1,       1,   1,        1,   2,    2,  3,   2,    3,     3,   2,       1};
const int maps_parameters[MAPS_KINDS] = {1,       1,   3,        1,   2,    2,  2,   0,    3,     3,   1,       2};

const struct maps_kernels *maps_kernels_of(const char *path) {
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(path, "avx2") == 0) return &maps_avx2;
    if (strcmp(path, "avx512") == 0) return &maps_avx512;
#else
    (void)path;
#endif
    return &maps_portable;
}
