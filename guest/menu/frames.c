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
	for (uint64_t pa = FRAMES_4K; pa < FRAMES_END; pa += 8)
		frame_paint(pa);
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
