#include "kernel.h"

extern char kernel_end[];

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

static void print(const char *text)
{
	for (; *text; text++) {
		while (!(inb(0x3fd) & 0x20))
			;
		outb(0x3f8, *text);
	}
}

_Noreturn void panic(const char *why)
{
	print("panic: ");
	print(why);
	print("\n");
	for (;;)
		asm volatile("cli; hlt");
}

/* Two pages for a first process, behind the image. */
static void make_process(void)
{
	uint64_t free = (uint64_t)kernel_end - KERNEL_BASE;

	map(USER_CODE, free, PAGE, PAGE, EXECUTE | USER);
	map(USER_STACK, free + PAGE, PAGE, PAGE, WRITE | USER);
}

/* Where the tests look at the life of a process from. */
__attribute__((noinline)) void process_made(void) { asm volatile(""); }
__attribute__((noinline)) void process_gone(void) { asm volatile(""); }

_Noreturn void kernel_main(void)
{
	print("tinyos: booting\n");
	paging_init();
	print("tinyos: paging\n");
	make_process();
	process_made();
	unmap(USER_CODE, PAGE);
	unmap(USER_STACK, PAGE);
	process_gone();
	make_process();
	print("tinyos: up\n");
	for (;;)
		asm volatile("cli; hlt");
}
