/*
 * What the kernel says about this process's own pages: /proc/self/pagemap (Linux,
 * Documentation/admin-guide/mm/pagemap.rst) and /proc/self/smaps (Documentation/filesystems/
 * proc.rst).  Neither the MMU nor whoever walks the tables from outside is asked: it is a third
 * witness.
 */
#ifndef WITNESS_H
#define WITNESS_H

#include <stdbool.h>
#include <stdint.h>

enum touched { NOT, READ_ONCE, WRITTEN };

/*
 * Addresses that were mapped and touched alike: `pages` of them, `step` bytes apart, the first
 * at `va`.  `size` is the page size asked for; the kernel's word on it is printed.
 */
struct area {
	const char *kind;
	uint64_t va, step, pages, size;
	int prot;
	enum touched touched;
	/* From smaps. */
	uint64_t page_kb, huge_kb, key;
};

/* Remembers an area; false when there are too many. */
bool remember(struct area area);

/* Forgets all areas: a child has none of its parent's. */
void forget_all(void);

/* Prints lines "area", "page" and "sum" for all areas of this process. */
void testify(void);

#endif
