#include "tables.h"

#include "console.h"
#include "cpu.h"
#include "layout.h"

enum { TABLES_MAX = 256, ENTRIES = 512 };

#define OPEN (ENTRY_P | ENTRY_RW | ENTRY_US | ENTRY_A)

static uint64_t tables[TABLES_MAX][ENTRIES] __attribute__((aligned(4096)));
static uint64_t sealed[TABLES_MAX][ENTRIES];
static uint32_t used = 1;	/* tables[0] is the root */

extern uint8_t probe_page[];

static uint64_t *new_table(void)
{
	if (used == TABLES_MAX)
		stop("TABLES_MAX is too small");
	return tables[used++];
}

uint64_t *tables_entry(uint64_t va, enum level level)
{
	uint64_t *table = tables[0];
	enum level at = cpu.levels;

	for (;;) {
		uint64_t *entry = &table[va >> (3 + 9 * at) & (ENTRIES - 1)];

		if (at == level)
			return entry;
		if (!*entry)
			*entry = (uint64_t)new_table() | OPEN;
		if ((*entry & (OPEN | ENTRY_PS)) != OPEN)
			stop("a line lies under a leaf, or under an entry already closed");
		table = (uint64_t *)(*entry & ENTRY_ADDRESS);
		at--;
	}
}

uint64_t *tables_put(uint64_t va, enum level level, uint64_t value)
{
	uint64_t *entry = tables_entry(va, level);

	if (*entry && *entry != value)
		stop("two lines want the same entry");
	*entry = value;
	return entry;
}

static void map(uint64_t start, uint64_t end, enum level level, uint64_t rights)
{
	uint64_t step = level == PTE ? SIZE_4K : SIZE_2M;

	/* A and D are set beforehand, so the guest's own accesses never change its tables. */
	rights |= ENTRY_P | ENTRY_A | ENTRY_D | (level == PTE ? 0 : ENTRY_PS);
	for (uint64_t pa = start; pa < end; pa += step)
		tables_put(pa, level, pa | rights);
}

void tables_init(uint64_t ram_end)
{
	uint64_t xd = cpu.has & HAS_NX ? ENTRY_XD : 0;
	uint64_t image_2m = ((uint64_t)image_end + SIZE_2M - 1) & -SIZE_2M;
	uint64_t end = ram_end < SIZE_1G ? ram_end & -SIZE_2M : SIZE_1G;

	map((uint64_t)image_start, (uint64_t)text_end, PTE, 0);
	map((uint64_t)text_end, (uint64_t)rodata_end, PTE, xd);
	map((uint64_t)rodata_end, (uint64_t)image_end, PTE, ENTRY_RW | xd);
	map(image_2m, end, PDE, ENTRY_RW | xd);
	tables_put(USER_PROBE_VA, PTE,
		   (uint64_t)probe_page | ENTRY_P | ENTRY_US | ENTRY_A | ENTRY_D);
}

uint64_t tables_root(void)
{
	return (uint64_t)tables[0];
}

uint64_t tables_start(void)
{
	return (uint64_t)tables[0];
}

uint64_t tables_end(void)
{
	return (uint64_t)tables[used];
}

void tables_load(void)
{
	uint64_t cr4 = read_cr4();

	write_cr4(cr4 & ~CR4_PGE);	/* global translations go only with this (SDM 4.10.4.1) */
	write_cr3(tables_root());
	write_cr4(cr4);
}

static void copy(uint64_t (*to)[ENTRIES], uint64_t (*from)[ENTRIES])
{
	for (uint32_t t = 0; t < used; t++)
		for (uint32_t i = 0; i < ENTRIES; i++)
			to[t][i] = from[t][i];
}

void tables_seal(void)
{
	copy(sealed, tables);
}

void tables_restore(void)
{
	copy(tables, sealed);
}
