/* The CPU in 32-bit protected mode: descriptors, traps, registers, the console. */
#ifndef CPU_H
#define CPU_H

#include <stdint.h>

enum { CR0_WP = 1 << 16, CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21 };
#define CR0_PG 0x80000000u
enum { MSR_EFER = 0xc0000080, EFER_NXE = 1 << 11 };

void cpu_init(void);
void say(const char *format, ...);	/* %s, %u, %x of uint32_t, %q of uint64_t */
_Noreturn void stop(const char *why);

/* Paging on, with these bits; the root and all that runs are mapped to themselves. */
void paging_on(uint32_t cr3, uint32_t cr4, int nxe, int wp);
void paging_off(void);
void set_wp(int wp);

static inline void invlpg(uint32_t va)
{
	asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}

#endif
