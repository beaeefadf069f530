/* What both ways stand on: an address space, frames for its tables, and the machine below. */
#ifndef MM_MM_H
#define MM_MM_H

#include <stdbool.h>
#include <stddef.h>

#define ENOMEM 12
#define EINVAL 22

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define BUG_ON(condition)                             \
	do {                                          \
		if (condition)                        \
			bug(__FILE__ ": " #condition); \
	} while (0)

struct mm_struct {
	void *pgd;	/* the top table */
	int levels;
	bool active;	/* CR3 holds it: what is taken out of it must leave the TLB, too */
};

/* Frames for tables (tables.c); zeroed, or NULL. */
void tables_init(unsigned long first, unsigned long count);
void tables_limit(unsigned long more);	/* so many more may be had, to try what happens then */
void *table_alloc(void);
void table_free(void *table);
bool table_empty(const void *table);
unsigned long tables_used(void);

/* The machine: a CPU (bare/), or a process that plays one (host/). */
extern unsigned long page_offset_base;	/* where physical address 0 is mapped */

enum trace {
	TRACE_TABLE_ALLOC = 1,
	TRACE_TABLE_FREE,
	TRACE_FLUSH_ONE,
	TRACE_FLUSH_ALL,
	TRACE_BAD,
};

void trace(enum trace what, unsigned long value);
void flush_tlb_one(unsigned long addr);	/* INVLPG: a page, and all that leads to pages */
void flush_tlb_all(void);		/* CR3: everything (nothing here is global) */
_Noreturn void bug(const char *what);

static inline void *__va(unsigned long pa)
{
	return (void *)(page_offset_base + pa);
}

static inline unsigned long __pa(const void *va)
{
	return (unsigned long)va - page_offset_base;
}

#endif
