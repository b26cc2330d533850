/* The maps for this instruction set. */
#define KERNELS maps_avx512
#include "maps_lanes.h"
