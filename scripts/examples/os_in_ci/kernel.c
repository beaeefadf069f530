#include "kernel.h"

extern char text_start[], rodata_start[], kernel_end[];

/* Xen, public/arch-x86/hvm/start_info.h: where the command line is. */
struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line;
};

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

static int asked_for(const char *line, const char *word)
{
	for (; *line; line++) {
		const char *a = line, *b = word;

		while (*b && *a == *b)
			a++, b++;
		if (!*b)
			return 1;
	}
	return 0;
}

/* Is the code the same through both of its mappings?  Ends QEMU: tests know by which byte. */
static void selftest(void)
{
	const char *code = text_start, *again = code - KERNEL_BASE + DIRECT_MAP;
	uint8_t answer = 0x10;

	for (; code < rodata_start; code++, again++)
		if (*code != *again)
			answer = 0x11;
	print(answer == 0x10 ? "tinyos: selftest passed\n" : "tinyos: selftest failed\n");
	outb(0xf4, answer);
}

/* Where the tests look at the life of a process from. */
__attribute__((noinline)) void process_made(void) { asm volatile(""); }
__attribute__((noinline)) void process_gone(void) { asm volatile(""); }

_Noreturn void kernel_main(const struct start_info *info)
{
	int test = asked_for((const char *)info->command_line, "selftest");

	print("tinyos: booting\n");
	paging_init();
	print("tinyos: paging\n");
	if (test)
		selftest();
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
