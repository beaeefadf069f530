#include "witness.h"

#include "system.h"
#include "text.h"

/* Past this many pages of an area only some, evenly spread, have a line of their own. */
enum { MOST_AREAS = 1200, MOST_LINES = 16, ENTRIES = 4096 };

static struct area areas[MOST_AREAS];
static unsigned count;

bool remember(struct area area)
{
	if (count == MOST_AREAS)
		return false;
	areas[count++] = area;
	return true;
}

void forget_all(void)
{
	count = 0;
}

/* A line of smaps: "START-END rwxp ..." begins a mapping, "Name:   123 kB" tells about it. */
static void smaps_line(char *line)
{
	static uint64_t first, end;
	const char *at = line, *value;
	uint64_t number, bound;

	if (hexadecimal(&at, &number) && *at++ == '-' && hexadecimal(&at, &bound)) {
		first = number;
		end = bound;
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		struct area *area = &areas[i];
		uint64_t *field;

		if (area->va < first || area->va >= end)
			continue;
		if ((value = after(line, "KernelPageSize:")))
			field = &area->page_kb;
		else if ((value = after(line, "AnonHugePages:")))
			field = &area->huge_kb;
		else if ((value = after(line, "ProtectionKey:")))
			field = &area->key;
		else
			return;
		while (*value == ' ')
			value++;
		decimal(&value, field);
	}
}

static const char *size_name(uint64_t size)
{
	return size == PAGE ? "4K" : size == PAGE_2M ? "2M" : size == PAGE_1G ? "1G" : "mixed";
}

/* The page size by smaps: a mapping's own, or 2M where all of it is transparently so. */
static uint64_t size_by_kernel(const struct area *area)
{
	if (area->huge_kb)
		return area->huge_kb == area->pages * area->step >> 10 ? PAGE_2M : 0;
	return area->page_kb << 10;
}

static void page_line(const struct area *area, uint64_t va, uint64_t map)
{
	/* The bits of pagemap: present, swapped, file or shared, exclusive, soft-dirty. */
	static const struct { unsigned bit; char letter; } flags[] = {
		{ 63, 'P' }, { 62, 'S' }, { 61, 'F' }, { 56, 'X' }, { 55, 'D' },
	};
	char is[] = "-----", prot[] = "---", touched[] = { "-rw"[area->touched], 0 };

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (map >> flags[i].bit & 1)
			is[i] = flags[i].letter;
	for (unsigned i = 0; i < 3; i++)
		if (area->prot >> i & 1)
			prot[i] = "rwx"[i];
	say("page kind=%s pid=%u va=%16x size=%s prot=%s touched=%s key=%u is=%s pfn=%14x",
	    area->kind, process_id(), va, size_name(size_by_kernel(area)), prot, touched,
	    area->key, is, map & ((1ul << 55) - 1));
}

/* An entry of pagemap, read many at a time: a call for each would take seconds under TCG. */
static uint64_t entry_of(int fd, uint64_t va)
{
	static uint64_t entries[ENTRIES], first, valid;
	uint64_t page = va / PAGE;

	if (!valid || page < first || page >= first + valid) {
		long n = read_at(fd, entries, sizeof(entries), page * 8);

		first = page;
		valid = n > 0 ? n / 8 : 0;
	}
	return valid ? entries[page - first] : 0;
}

/* All of an area in one line: `weighted` is the sum of (i + 1) * PFN over the present pages i. */
static void testify_area(const struct area *area, int fd)
{
	uint64_t present = 0, weighted = 0, last = area->pages - 1;
	uint64_t shown = area->pages < MOST_LINES ? area->pages : MOST_LINES;
	/* One that is as large as its page; of two addresses in it the second is its last 4K. */
	bool big = area->size > PAGE;

	for (uint64_t i = 0, next = 0; i < area->pages; i++) {
		uint64_t va = area->va + i * area->step, map = entry_of(fd, va);

		if (map >> 63) {
			present++;
			weighted += (i + 1) * (map & ((1ul << 55) - 1));
		}
		if (i != (shown > 1 ? next * last / (shown - 1) : 0))
			continue;
		next++;
		page_line(area, va, map);
		if (big)
			page_line(area, va + area->size - PAGE, entry_of(fd, va + area->size - PAGE));
	}
	say("sum kind=%s pid=%u va=%16x step=%16x pages=%u present=%u weighted=%16x", area->kind,
	    process_id(), area->va, area->step, area->pages, present, weighted);
}

void testify(void)
{
	long fd = open_file("/proc/self/pagemap", O_RDONLY);

	if (fd < 0) {
		say("without pagemap: the kernel does not give it");
		return;
	}
	each_line("/proc/self/smaps", smaps_line);
	for (unsigned i = 0; i < count; i++) {
		if (size_by_kernel(&areas[i]) == areas[i].size)
			testify_area(&areas[i], fd);
		else
			say("without %s at %16x: its pages are not as large as asked for",
			    areas[i].kind, areas[i].va);
	}
	close_file(fd);
}
