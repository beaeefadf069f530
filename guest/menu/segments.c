/* GDT and TSS.  The GDT's descriptors have their accessed bits set, so no load writes them. */
#include "traps.h"

#include "segments.h"

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
} __attribute__((packed));

_Static_assert(sizeof(struct tss) == 104, "the 64-bit TSS, SDM vol. 3A, Task Management");

static uint8_t trap_stack[8192] __attribute__((aligned(16)));
static uint8_t double_fault_stack[4096] __attribute__((aligned(16)));
static struct tss tss;

static uint64_t gdt[] = {
	[KERNEL_CS / 8] = 0x00af9b000000ffff,
	[KERNEL_DS / 8] = 0x00cf93000000ffff,
	[USER_DS / 8] = 0x00cff3000000ffff,
	[USER_CS / 8] = 0x00affb000000ffff,
	[TSS_SEL / 8] = 0, 0,
};

/* Loaded by boot.S. */
const struct descriptor_pointer gdt_pointer = { sizeof(gdt) - 1, gdt };

void segments_init(void)
{
	uint64_t base = (uint64_t)&tss;

	tss.rsp[0] = (uint64_t)(trap_stack + sizeof(trap_stack));
	tss.ist[DOUBLE_FAULT_IST - 1] =
		(uint64_t)(double_fault_stack + sizeof(double_fault_stack));
	tss.io_map = sizeof(tss);
	gdt[TSS_SEL / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
			   (base >> 24 & 0xff) << 56;
	gdt[TSS_SEL / 8 + 1] = base >> 32;
	asm volatile("ltr %w0" : : "r"(TSS_SEL));
}
