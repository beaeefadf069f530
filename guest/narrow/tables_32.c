/* 32-bit paging: SDM vol. 3A 4.3. With and without CR4.PSE the same entries mean other things. */
#include "narrow.h"

enum { REGION = 1 << 22, REGIONS = 0x40000000, SPARE = 0x402000 };

static uint32_t *directory;

static void entry(uint32_t *table, unsigned index, uint32_t value)
{
	table[index] = value;
}

static uint32_t region(unsigned n)
{
	return REGIONS + n * REGION;
}

/* A page at the start of region n. */
static void small(const char *name, unsigned n, uint32_t pde, uint32_t pte, unsigned expected)
{
	uint32_t *table = new_table();

	entry(table, 0, pte);
	entry(directory, region(n) >> 22, (uint32_t)table | pde);
	add_case(name, region(n), pte & ~0xfffu, expected);
}

/*
 * A PDE with PS, asked at its page 5: a 4M page at `large` if CR4.PSE is set, else a table at
 * `table`, whose entry 5 maps a frame.
 */
static void big(const char *name, unsigned n, uint32_t pde, uint32_t table, uint64_t large,
		unsigned with_pse, unsigned without)
{
	entry((uint32_t *)table, 5, data(n) | PWU);
	entry(directory, region(n) >> 22, pde);
	add_case(name, region(n) + 5 * FRAME, mode->pse ? large + 5 * FRAME : data(n),
		 mode->pse ? with_pse : without);
}

static void cases(void)
{
	uint32_t *table;

	small("user", 0, PWU, data(0) | PWU, ALL);
	small("pte-supervisor", 1, PWU, data(1) | P | RW, WRITE | EXEC);
	small("pte-read-only", 2, PWU, data(2) | P | US, USER | EXEC);
	small("pde-read-only", 3, P | US, data(3) | PWU, USER | EXEC);
	small("pde-supervisor", 4, P | RW, data(4) | PWU, WRITE | EXEC);
	small("pte-absent", 5, PWU, 0xfffffffe, ABSENT);
	small("pde-all-ignored-bits", 7, PWU | PCD | G | 0xe40, data(7) | PWU, ALL);
	small("pte-all-ignored-bits", 8, PWU | PCD, data(8) | PWU | PS | G | 0xe00, ALL);

	entry(directory, region(6) >> 22, 0xfffff0e6);
	add_case("pde-absent", region(6), 0, ABSENT);

	big("4m", 9, LARGE | PWU | PS, LARGE, LARGE, ALL, ALL);
	/* Bit 21 is reserved of a 4M page, and an address bit of a table. */
	big("4m-bit-21", 10, (LARGE + 0x200000) | PWU | PS, LARGE + 0x200000, 0, RESERVED, ALL);
	/* Bit 13 is bit 32 of a 4M page's address. */
	big("4m-beyond-4g", 11, 0x400000 | 1 << 13 | PWU | PS, SPARE, HIGH, ALL, ALL);

	/* The same 4M page again, read-only; without PSE the table of the case "4m". */
	entry(directory, region(12) >> 22, LARGE | P | US | PS);
	add_case("4m-read-only", region(12) + 5 * FRAME, mode->pse ? LARGE + 5 * FRAME : data(9),
		 USER | EXEC);

	table = new_table();
	entry(table, 1023, data(13) | PWU);
	entry(directory, 1023, (uint32_t)table | PWU);
	add_case("last", 0xfffff000, data(13), ALL);
}

uint32_t tables_32(uint32_t user_code)
{
	uint32_t *table;

	directory = new_table();
	for (uint32_t pa = 0; pa < IDENTITY_END; pa += REGION) {
		table = new_table();
		for (unsigned n = 0; n < 1024; n++)
			entry(table, n, (pa + n * FRAME) | P | RW);
		entry(directory, pa >> 22, (uint32_t)table | P | RW);
	}
	table = new_table();
	entry(table, 0, user_code | P | US);
	entry(directory, USER_CODE >> 22, (uint32_t)table | P | US);
	cases();
	return (uint32_t)directory;
}
