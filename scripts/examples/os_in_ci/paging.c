#include "kernel.h"

enum {
	PRESENT = 1 << 0, RW = 1 << 1, US = 1 << 2, PWT = 1 << 3, PCD = 1 << 4, PS = 1 << 7,
	G = 1 << 8,
};
#define XD       (1ull << 63)
#define ADDRESS  0x000ffffffffff000ull

extern char text_start[], rodata_start[], data_start[], kernel_end[], stack_guard[];

static uint64_t tables[64][512] __attribute__((aligned(PAGE)));
static unsigned tables_used = 1;	/* the first is the root */

static uint64_t physical(const void *p)
{
	return (uint64_t)p - KERNEL_BASE;
}

/* The entry of an address at a level, 1 for 4K pages, 2 for 2M. */
static uint64_t *entry(uint64_t va, int level)
{
	uint64_t *table = tables[0];

	for (int at = 4; at > level; at--) {
		uint64_t *e = &table[va >> (12 + 9 * (at - 1)) & 511];

		if (!*e) {
			if (tables_used == sizeof(tables) / sizeof(tables[0]))
				panic("no table is left");
			/* Rights are decided by the leaf. */
			*e = physical(tables[tables_used++]) | PRESENT | RW | US;
		}
		table = (uint64_t *)((*e & ADDRESS) + KERNEL_BASE);
	}
	return &table[va >> (12 + 9 * (level - 1)) & 511];
}

void map(uint64_t va, uint64_t pa, uint64_t bytes, uint64_t page, unsigned rights)
{
	uint64_t bits = PRESENT;

	bits |= rights & WRITE ? RW : 0;
	bits |= rights & USER ? US : 0;
	bits |= rights & EXECUTE ? 0 : XD;
	bits |= rights & UNCACHED ? PCD | PWT : 0;
	bits |= rights & GLOBAL ? G : 0;
	bits |= page == PAGE_2M ? PS : 0;
	for (uint64_t at = 0; at < bytes; at += page)
		*entry(va + at, page == PAGE_2M ? 2 : 1) = (pa + at) | bits;
}

void unmap(uint64_t va, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += PAGE) {
		*entry(va + at, 1) = 0;
		asm volatile("invlpg (%0)" : : "r"(va + at) : "memory");
	}
}

static void map_image(const char *from, const char *to, unsigned rights)
{
	map((uint64_t)from, physical(from), to - from, PAGE, rights | GLOBAL);
}

/* All RAM that QEMU has with -m 256M; what is executed is not writable here either. */
static void map_ram(void)
{
	uint64_t text = physical(text_start), data = physical(data_start);

	map(DIRECT_MAP, 0, 0xa0000, PAGE, WRITE | GLOBAL);	/* behind it: the screen, ROMs */
	map(DIRECT_MAP + 0x100000, 0x100000, text - 0x100000, PAGE, WRITE | GLOBAL);
	map(DIRECT_MAP + text, text, data - text, PAGE, READ | GLOBAL);
	map(DIRECT_MAP + data, data, PAGE_2M - data, PAGE, WRITE | GLOBAL);
	map(DIRECT_MAP + PAGE_2M, PAGE_2M, (256ull << 20) - PAGE_2M, PAGE_2M, WRITE | GLOBAL);
}

/* The kernel neither executes what is user mode's (SMEP) nor touches it by mistake (SMAP). */
static void protect(void)
{
	uint32_t leaf = 7, features, more = 0;
	uint64_t cr4;

	asm volatile("cpuid" : "+a"(leaf), "=b"(features), "+c"(more) : : "edx");
	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	cr4 |= features & 1 << 7 ? 1 << 20 : 0;
	cr4 |= features & 1 << 20 ? 1 << 21 : 0;
	asm volatile("mov %0, %%cr4" : : "r"(cr4));
}

void paging_init(void)
{
	map_image(text_start, rodata_start, EXECUTE);
	map_image(rodata_start, data_start, READ);
	map_image(data_start, kernel_end, WRITE);
	unmap((uint64_t)stack_guard, PAGE);
	map_ram();
	map(DEVICES, LOCAL_APIC, PAGE, PAGE, WRITE | UNCACHED | GLOBAL);
	asm volatile("mov %0, %%cr3" : : "r"(physical(tables[0])) : "memory");
	protect();
}
