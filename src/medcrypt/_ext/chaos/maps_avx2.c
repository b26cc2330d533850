/* The maps for this instruction set. */
#define KERNELS maps_avx2
#include "maps_lanes.h"
