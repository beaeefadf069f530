/*
 * Frames that name themselves.  Each qword of a painted frame holds its own physical address, as
 *
 *	b8 xx xx xx xx	mov $address, %eax
 *	41 ff e7	jmp *%r15
 *
 * so a load proves where it came from, and so does a fetch in either ring, with no stack.  The
 * word's bit 0 is clear: in an unused entry of a paging structure it is one more absent entry.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>

#define NO_FRAME (~0ull)

void frames_paint(void);

/* Paints the one qword at this address. */
void frame_paint(uint64_t pa);

/* The address that a painted qword holds; NO_FRAME if it is not painted. */
uint64_t frame_named(uint64_t word);

/* Where this value was written: painted frames and tables, at that page offset; or NO_FRAME. */
uint64_t frame_holding(uint64_t value, uint64_t offset);

#endif
