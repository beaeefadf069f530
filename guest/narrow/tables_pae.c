/* PAE paging: SDM vol. 3A 4.4. */
#include "narrow.h"

enum { REGION = 1 << 21, REGIONS = 0x40000000 };

static uint64_t pointers[2][4] __attribute__((aligned(32)));
static uint64_t *directory;

static uint32_t region(unsigned n)
{
	return REGIONS + n * REGION;
}

static void small(const char *name, unsigned n, uint64_t pde, uint64_t pte, unsigned expected)
{
	uint64_t *table = new_table();

	table[0] = pte;
	directory[n] = (uint32_t)table | pde;
	add_case(name, region(n), pte & 0xfffffffff000, expected);
}

/* A 2M page, asked at its page 5. */
static void big(const char *name, unsigned n, uint64_t pde, uint64_t frame, unsigned expected)
{
	directory[n] = pde;
	add_case(name, region(n) + 5 * FRAME, frame + 5 * FRAME, expected);
}

static void cases(void)
{
	unsigned without_execution = mode->nxe ? WRITE | USER : RESERVED;
	uint64_t *last = new_table(), *table = new_table();

	directory = new_table();
	pointers[0][1] = (uint32_t)directory | P;

	small("user", 0, PWU, data(0) | PWU, ALL);
	small("pte-supervisor", 1, PWU, data(1) | P | RW, WRITE | EXEC);
	small("pte-read-only", 2, PWU, data(2) | P | US, USER | EXEC);
	small("pde-read-only", 3, P | US, data(3) | PWU, USER | EXEC);
	small("pde-supervisor", 4, P | RW, data(4) | PWU, WRITE | EXEC);
	small("pte-absent", 5, PWU, 0xfffffffffffffffe, ABSENT);
	small("pde-all-ignored-bits", 7, PWU | PCD | G | 0xe40, data(7) | PWU, ALL);
	small("pte-all-ignored-bits", 8, PWU | PCD, data(8) | PWU | PS | G | 0xe00, ALL);
	small("beyond-4g", 12, PWU, (HIGH + 5 * FRAME) | PWU, ALL);
	small("pte-xd", 13, PWU, data(13) | PWU | XD, without_execution);
	small("pde-xd", 14, PWU | XD, data(14) | PWU, without_execution);
	/* Ignored or a protection key in 64-bit mode, reserved here. */
	small("pte-bit-52", 15, PWU, data(15) | PWU | 1ull << 52, RESERVED);
	small("pde-bit-62", 16, PWU | 1ull << 62, data(16) | PWU, RESERVED);
	/* No CPU that runs this has a MAXPHYADDR of 52. */
	small("pte-bit-51", 17, PWU, data(17) | PWU | 1ull << 51, RESERVED);

	directory[6] = 0xfffffffffffff0e6;
	add_case("pde-absent", region(6), 0, ABSENT);

	/* CR4.PSE is off: it means nothing to PAE paging. */
	big("2m", 9, LARGE | PWU | PS, LARGE, ALL);
	big("2m-bit-13", 10, LARGE | 1 << 13 | PWU | PS, LARGE, RESERVED);
	big("2m-beyond-4g", 11, HIGH | PWU | PS, HIGH, ALL);

	pointers[0][2] = 0xfffffe1e & ~P;	/* not present: no bit is reserved */
	add_case("pdpte-absent", 0x80000000, 0, ABSENT);

	pointers[0][3] = (uint32_t)last | P | PWT | PCD;
	last[511] = (uint32_t)table | PWU;
	table[511] = data(18) | PWU;
	add_case("last", 0xfffff000, data(18), ALL);
}

static uint64_t *identity(void)
{
	uint64_t *low = new_table();

	for (uint32_t pa = 0; pa < IDENTITY_END; pa += REGION)
		low[pa / REGION] = pa | P | RW | PS;
	return low;
}

uint32_t tables_pae(uint32_t user_code)
{
	uint64_t *low = identity(), *table = new_table();

	table[0] = user_code | P | US;
	low[USER_CODE / REGION] = (uint32_t)table | P | US;
	pointers[0][0] = (uint32_t)low | P;
	cases();
	return (uint32_t)pointers[0];
}

uint32_t tables_to_paint(void)
{
	uint64_t *high = new_table();

	high[0] = HIGH | P | RW | PS;
	pointers[1][0] = (uint32_t)identity() | P;
	pointers[1][1] = (uint32_t)high | P;
	return (uint32_t)pointers[1];
}
