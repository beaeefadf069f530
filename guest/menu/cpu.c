#include "cpu.h"

#include "console.h"

/* Key 1: no access (AD, bit 2); key 2: no write (WD, bit 5); the others open.  SDM 4.6.2. */
static const uint32_t pkru = 1 << 2 | 1 << 5;

struct cpu cpu;

static const struct {
	uint32_t feature;
	const char *name;
} names[] = {
	{ HAS_NX, "nx" },     { HAS_1G, "1g" },	  { HAS_SMEP, "smep" },
	{ HAS_SMAP, "smap" }, { HAS_PKU, "pku" }, { HAS_PGE, "pge" },
};

struct leaf {
	uint32_t a, b, c, d;
};

static struct leaf cpuid(uint32_t leaf)
{
	struct leaf r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
	return r;
}

static uint32_t bit(uint32_t word, int number, enum feature feature)
{
	return word >> number & 1 ? feature : 0;
}

/* SDM vol. 3A 4.1.4, "Enumeration of Paging Features by CPUID". */
void cpu_identify(uint32_t levels)
{
	uint32_t basic = cpuid(0).a, extended = cpuid(0x80000000).a;

	cpu.levels = levels;
	cpu.has = levels == 5 ? HAS_LA57 : HAS_4LEVELS;
	cpu.has |= bit(cpuid(1).d, 13, HAS_PGE);
	if (basic >= 7) {
		struct leaf seven = cpuid(7);

		cpu.has |= bit(seven.b, 7, HAS_SMEP) | bit(seven.b, 20, HAS_SMAP) |
			   bit(seven.c, 3, HAS_PKU);
	}
	cpu.has |= bit(cpuid(0x80000001).d, 20, HAS_NX) | bit(cpuid(0x80000001).d, 26, HAS_1G);
	cpu.maxphyaddr = extended >= 0x80000008 ? cpuid(0x80000008).a & 0xff : 36;
	if (cpu.maxphyaddr < 52)
		cpu.has |= HAS_SPARE;

	say("cpu: levels=%u maxphyaddr=%u", cpu.levels, cpu.maxphyaddr);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		say(cpu.has & names[i].feature ? " %s" : " no-%s", names[i].name);
	say("\n");
}

static void set_efer(uint64_t bits)
{
	asm volatile("rdmsr; or %0, %%eax; wrmsr"
		     : : "r"((uint32_t)bits), "c"(MSR_EFER) : "eax", "edx");
}

/* Every protection the CPU has, under which the expectations are written.  CR0.WP: boot.S. */
void cpu_protect(void)
{
	uint64_t cr4 = read_cr4();

	if (cpu.has & HAS_NX)
		set_efer(EFER_NXE);
	if (cpu.has & HAS_PGE)
		cr4 |= CR4_PGE;
	if (cpu.has & HAS_SMEP)
		cr4 |= CR4_SMEP;
	if (cpu.has & HAS_SMAP)
		cr4 |= CR4_SMAP;
	if (cpu.has & HAS_PKU)
		cr4 |= CR4_PKE;
	write_cr4(cr4);
	if (cpu.has & HAS_PKU)
		asm volatile("wrpkru" : : "a"(pkru), "c"(0), "d"(0));
}
