/* Frames for tables: an area of physical memory, taken from its start, given back to a list. */
#include "bits.h"
#include "mm.h"

static struct {
	unsigned long next;	/* frames from here on were never used */
	unsigned long used, limit, count;
	unsigned long free;	/* the first word of a free frame leads to the next; 0: none */
} area;

void tables_init(unsigned long first, unsigned long count)
{
	area.next = first;
	area.limit = area.count = count;
}

void tables_limit(unsigned long more)
{
	area.limit = more < area.count - area.used ? area.used + more : area.count;
}

void *table_alloc(void)
{
	unsigned long *table;

	if (area.used >= area.limit)
		return NULL;
	if (area.free) {
		table = __va(area.free);
		area.free = table[0];
	} else {
		table = __va(area.next);
		area.next += PAGE_SIZE;
	}
	area.used++;
	for (unsigned long i = 0; i < PAGE_SIZE / sizeof(*table); i++)
		table[i] = 0;
	trace(TRACE_TABLE_ALLOC, __pa(table));
	return table;
}

void table_free(void *table)
{
	trace(TRACE_TABLE_FREE, __pa(table));
	*(unsigned long *)table = area.free;
	area.free = __pa(table);
	area.used--;
}

bool table_empty(const void *table)
{
	const unsigned long *entry = table;

	for (unsigned long i = 0; i < PAGE_SIZE / sizeof(*entry); i++)
		if (entry[i])
			return false;
	return true;
}

unsigned long tables_used(void)
{
	return area.used;
}
