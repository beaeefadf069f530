#include "frames.h"

#include "layout.h"
#include "tables.h"

#define WORD(pa) (0xb8ull | (pa) << 8 | 0xe7ff41ull << 40)

void frame_paint(uint64_t pa)
{
	*(volatile uint64_t *)pa = WORD(pa);
}

void frames_paint(void)
{
	uint64_t word = WORD(FRAMES_4K);

	/* Two million words, in two instructions each: some virtual CPUs are slow. */
#pragma GCC unroll 16
	for (volatile uint64_t *p = (void *)FRAMES_4K; p < (uint64_t *)FRAMES_END; p++) {
		*p = word;
		word += 8 << 8;		/* the next qword's address, where WORD() has it */
	}
}

uint64_t frame_named(uint64_t word)
{
	uint64_t pa = word >> 8 & 0xffffffff;

	return word == WORD(pa) ? pa : NO_FRAME;
}

static uint64_t search(uint64_t start, uint64_t end, uint64_t value, uint64_t offset)
{
	for (uint64_t pa = start + offset; pa < end; pa += SIZE_4K)
		if (*(volatile uint64_t *)pa == value)
			return pa;
	return NO_FRAME;
}

uint64_t frame_holding(uint64_t value, uint64_t offset)
{
	uint64_t pa = search(FRAMES_4K, FRAMES_END, value, offset);

	return pa != NO_FRAME ? pa : search(tables_start(), tables_end(), value, offset);
}
