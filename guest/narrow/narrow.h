/*
 * Cases: what is mapped where, and what is expected of it. Expectations are written by hand
 * beside the entries, from SDM vol. 3A 4.3 and 4.4; what an access comes to is 4.6 and 4.7.
 */
#ifndef NARROW_H
#define NARROW_H

#include <stdint.h>

enum { P = 1, RW = 2, US = 4, PWT = 8, PCD = 16, PS = 1 << 7, G = 1 << 8 };
#define XD  (1ull << 63)
#define PWU ((uint32_t)(P | RW | US))

/* What is expected: a translation with these rights, or none, or a reserved bit. */
enum { WRITE = 1, USER = 2, EXEC = 4, ALL = 7, ABSENT = 8, RESERVED = 16 };

struct mode {
	const char *name;
	int pae, pse, nxe, wp, smep, smap;
};

extern const struct mode *mode;

/* Frames. All from DATA to the end of LARGE hold their own number (paint in narrow.c). */
enum { FRAME = 4096, DATA = 0x800000, LARGE = 0xc00000, IDENTITY_END = 0x1000000 };
enum { USER_CODE = IDENTITY_END };	/* where ring 3 runs probe.S */
#define HIGH  0x100400000ull		/* beyond 4G; its frame 5 is painted */

void *new_table(void);
void add_case(const char *name, uint32_t va, uint64_t frame, unsigned expected);

uint32_t tables_32(uint32_t user_code);	/* return CR3 */
uint32_t tables_pae(uint32_t user_code);
uint32_t tables_to_paint(void);		/* PAE: 16M, and HIGH at HIGH_WINDOW */
enum { HIGH_WINDOW = 0x40000000 };

static inline uint32_t data(unsigned n)
{
	return DATA + n * FRAME;
}

#endif
