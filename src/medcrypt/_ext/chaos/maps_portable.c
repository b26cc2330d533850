/* The maps for this instruction set. */
#define KERNELS maps_portable
#include "maps_lanes.h"
