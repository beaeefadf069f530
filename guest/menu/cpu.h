/* The CPU: what it can do, what of it is switched on, and the instructions C lacks. */
#ifndef CPU_H
#define CPU_H

#include <stdint.h>

#define CR0_WP     (1ull << 16)
#define CR4_PGE    (1ull << 7)
#define CR4_SMEP   (1ull << 20)
#define CR4_SMAP   (1ull << 21)
#define CR4_PKE    (1ull << 22)
#define MSR_EFER   0xc0000080
#define EFER_NXE   (1ull << 11)
#define RFLAGS_AC  (1ull << 18)
#define RFLAGS_ONE (1ull << 1)	/* always 1 */

/* What a menu line may need; cpu.has holds the ones that are true here. */
enum feature {
	HAS_LA57    = 1 << 0,	/* five levels in use */
	HAS_4LEVELS = 1 << 1,	/* four levels in use */
	HAS_NX      = 1 << 2,
	HAS_1G      = 1 << 3,
	HAS_SMEP    = 1 << 4,
	HAS_SMAP    = 1 << 5,
	HAS_PKU     = 1 << 6,
	HAS_PGE     = 1 << 7,
	HAS_SPARE   = 1 << 8,	/* MAXPHYADDR < 52: entries have reserved address bits */
};

struct cpu {
	uint32_t levels;
	uint32_t maxphyaddr;
	uint32_t has;		/* enum feature */
};

extern struct cpu cpu;

void cpu_identify(uint32_t levels);
void cpu_protect(void);

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t read_cr2(void)
{
	uint64_t value;

	asm volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

static inline void write_cr3(uint64_t value)
{
	asm volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static inline uint64_t read_cr4(void)
{
	uint64_t value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static inline void write_cr4(uint64_t value)
{
	asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/* Drops the translation of va, global or not, and the paging-structure caches (SDM 4.10.4.1). */
static inline void invlpg(uint64_t va)
{
	asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}

#endif
