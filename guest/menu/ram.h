#ifndef RAM_H
#define RAM_H

#include <stdint.h>

/* The end of the RAM that holds the image and the frames, per the PVH memory map. */
uint64_t ram_end(uint32_t start_info);

#endif
