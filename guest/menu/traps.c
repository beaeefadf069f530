/* IDT.  All 256 vectors have a stub of their own in traps.S. */
#include "traps.h"

#include "console.h"
#include "cpu.h"
#include "segments.h"

enum { VECTORS = 256, STUB_SIZE = 16, DOUBLE_FAULT = 8 };
enum { INTERRUPT_GATE = 0x8e00 };	/* present, DPL 0, type 14 */

struct gate {
	uint16_t offset0;
	uint16_t selector;
	uint16_t attributes;	/* IST in the low bits */
	uint16_t offset1;
	uint32_t offset2;
	uint32_t reserved;
};

/* What traps.S leaves on the stack, the last two by the CPU. */
struct trap {
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

static struct gate idt[VECTORS] __attribute__((aligned(16)));
static const struct descriptor_pointer idt_pointer = { sizeof(idt) - 1, idt };

extern const uint8_t trap_stubs[];
void trap_unexpected(const struct trap *trap);

void traps_init(void)
{
	for (unsigned v = 0; v < VECTORS; v++) {
		uint64_t stub = (uint64_t)trap_stubs + v * STUB_SIZE;
		uint16_t ist = v == DOUBLE_FAULT ? DOUBLE_FAULT_IST : 0;

		idt[v] = (struct gate){
			.offset0 = stub,
			.selector = KERNEL_CS,
			.attributes = INTERRUPT_GATE | ist,
			.offset1 = stub >> 16,
			.offset2 = stub >> 32,
		};
	}
	asm volatile("lidt %0" : : "m"(idt_pointer));
}

/* A trap while no probe runs is a defect of the guest. */
void trap_unexpected(const struct trap *trap)
{
	say("trap: vector=%u error=%x rip=%x cs=%x rsp=%x cr2=%x\n", (unsigned)trap->vector,
	    trap->error, trap->rip, trap->cs, trap->rsp, read_cr2());
	stop("unexpected trap");
}
