#include "cpu.h"

#include <stdarg.h>

#include "../menu/segments.h"

enum { VECTORS = 32, STUB_SIZE = 16, INTERRUPT_GATE = 0x8e00 };
enum { DEBUGCON = 0xe9 };

struct __attribute__((packed)) pointer {
	uint16_t limit;
	uint32_t base;
};

struct gate {
	uint16_t offset0, selector, attributes, offset1;
};

/* Of the 32-bit TSS only the stack of ring 0 is used (SDM vol. 3A, Task Management). */
static struct {
	uint32_t link, esp0, ss0, rest[22];
	uint16_t trap, io_map;
} tss;

static uint8_t trap_stack[8192] __attribute__((aligned(16)));
static struct gate idt[VECTORS] __attribute__((aligned(16)));

/* Accessed bits set, so that no load writes them. */
static uint64_t gdt[] = {
	[KERNEL_CS / 8] = 0x00cf9b000000ffff,
	[KERNEL_DS / 8] = 0x00cf93000000ffff,
	[USER_DS / 8] = 0x00cff3000000ffff,
	[USER_CS / 8] = 0x00cffb000000ffff,
	[TSS_SEL / 8] = 0,
};

const struct pointer gdt_pointer = { sizeof(gdt) - 1, (uint32_t)gdt };
extern const uint8_t trap_stubs[];

struct trap {
	uint32_t vector, error, eip, cs;
};

void trap_unexpected(const struct trap *trap);

void cpu_init(void)
{
	const struct pointer idt_pointer = { sizeof(idt) - 1, (uint32_t)idt };
	uint32_t base = (uint32_t)&tss;

	for (unsigned v = 0; v < VECTORS; v++) {
		uint32_t stub = (uint32_t)trap_stubs + v * STUB_SIZE;

		idt[v] = (struct gate){ stub, KERNEL_CS, INTERRUPT_GATE, stub >> 16 };
	}
	asm volatile("lidt %0" : : "m"(idt_pointer));
	tss.ss0 = KERNEL_DS;
	tss.esp0 = (uint32_t)(trap_stack + sizeof(trap_stack));
	tss.io_map = sizeof(tss);
	gdt[TSS_SEL / 8] = (sizeof(tss) - 1) | (uint64_t)(base & 0xffffff) << 16 | 0x89ull << 40 |
			   (uint64_t)(base >> 24) << 56;
	asm volatile("ltr %w0" : : "r"(TSS_SEL));
}

static void put(char c)
{
	asm volatile("outb %0, %w1" : : "a"(c), "Nd"(DEBUGCON));
}

static void put_number(uint64_t number)
{
	int at = 60;

	while (at > 0 && !(number >> at))
		at -= 4;
	for (put('0'), put('x'); at >= 0; at -= 4)
		put("0123456789abcdef"[number >> at & 15]);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (const char *f = format; *f; f++) {
		const char *s;

		if (*f != '%') {
			put(*f);
			continue;
		}
		switch (*++f) {
		case 's':
			for (s = va_arg(args, const char *); *s; s++)
				put(*s);
			break;
		case 'x':
			put_number(va_arg(args, uint32_t));
			break;
		case 'q':
			put_number(va_arg(args, uint64_t));
			break;
		}
	}
	va_end(args);
}

_Noreturn void stop(const char *why)
{
	say("narrow: stopped: %s\n", why);
	for (;;)
		asm volatile("cli; hlt");
}

void trap_unexpected(const struct trap *trap)
{
	uint32_t cr2;

	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	say("trap: vector=%x error=%x eip=%x cr2=%x\n", trap->vector, trap->error, trap->eip, cr2);
	stop("unexpected trap");
}

static uint32_t read_cr0(void)
{
	uint32_t cr0;

	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	return cr0;
}

static void write_cr0(uint32_t cr0)
{
	asm volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
}

void set_wp(int wp)
{
	write_cr0((read_cr0() & ~CR0_WP) | (wp ? CR0_WP : 0));
}

void paging_on(uint32_t cr3, uint32_t cr4, int nxe, int wp)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_EFER));
	low = (low & ~EFER_NXE) | (nxe ? EFER_NXE : 0);
	asm volatile("wrmsr" : : "a"(low), "d"(high), "c"(MSR_EFER));
	asm volatile("mov %0, %%cr4" : : "r"(cr4));
	asm volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	set_wp(wp);
	write_cr0(read_cr0() | CR0_PG);
}

void paging_off(void)
{
	write_cr0(read_cr0() & ~CR0_PG);
}
