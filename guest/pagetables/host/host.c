/*
 * A process that plays the machine: physical memory is a file that others map as well, and what
 * would go to the TLB goes to the list of events.  A byte on standard input is a batch.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../mailbox.h"
#include "../mm/bits.h"
#include "../mm/mm.h"

unsigned long page_offset_base;

void flush_tlb_one(unsigned long addr)
{
	trace(TRACE_FLUSH_ONE, addr);
}

void flush_tlb_all(void)
{
	trace(TRACE_FLUSH_ALL, 0);
}

struct result execute(const struct command *command)
{
	return (struct result){ .ret = -EINVAL };
}

void load_space(uint64_t root)
{
	flush_tlb_all();
}

/* Here nothing has to be mapped to go on. */
void prepare_space(struct mm_struct *mm)
{
}

void bug(const char *what)
{
	fprintf(stderr, "bug: %s\n", what);
	abort();
}

int main(int argc, char **argv)
{
	size_t size = TABLES_PA + TABLES_COUNT * PAGE_SIZE;
	int file = argc == 2 ? open(argv[1], O_RDWR) : -1;
	struct mailbox *box;
	void *memory;
	char byte;

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED) {
		fprintf(stderr, "usage: %s FILE, of %zu bytes\n", argv[0], size);
		return 2;
	}
	page_offset_base = (unsigned long)memory;
	box = __va(MAILBOX_PA);
	mailbox_init();
	box->magic = MAILBOX_MAGIC;
	putchar('\n');
	fflush(stdout);
	while (read(0, &byte, 1) == 1) {
		mailbox_serve();
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
