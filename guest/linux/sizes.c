/* Pages by size and by place. */
#include "kinds.h"
#include "system.h"
#include "text.h"
#include "witness.h"

uint64_t stride = 8, frames = 32768;

uint64_t small_pages(uint64_t hint, uint64_t n, int prot)
{
	uint64_t va = map(hint, n * PAGE, prot, PRIVATE | ANONYMOUS | NORESERVE, -1);

	/* khugepaged would make 2M pages of them behind our back. */
	if (!failed(va))
		advise(va, n * PAGE, MADV_NOHUGEPAGE);
	return va;
}

void write_to(uint64_t va, uint64_t step, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		*(volatile uint64_t *)(va + i * step) = va + i * step;
}

void read_from(uint64_t va, uint64_t step, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		(void)*(volatile uint64_t *)(va + i * step);
}

/* Whether there is memory for so much, with some left: the kernel would kill a process instead. */
static bool enough(const char *kind, uint64_t bytes)
{
	uint64_t there = free_memory(), spare = 16ul << 20;

	if (bytes + spare <= there)
		return true;
	say("without %s: it takes %u MB, and of %u MB free %u MB are kept", kind,
	    (bytes >> 20) + 1, there >> 20, spare >> 20);
	return false;
}

void make_thp(uint64_t n)
{
	static const char enabled[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	uint64_t length = n * PAGE_2M, got, va;

	if (!enough("thp", length))
		return;
	/* With less than 512 MB Linux begins with "never" (mm/huge_memory.c, hugepage_init). */
	if (file_has(enabled, "[never]"))
		set_text(enabled, "madvise");
	got = map(0, length + PAGE_2M, R | W, PRIVATE | ANONYMOUS | NORESERVE, -1);
	if (failed(got)) {
		say("without thp: no room for %u of them", n);
		return;
	}
	va = (got + PAGE_2M - 1) & -PAGE_2M;
	if (va > got)
		unmap(got, va - got);
	unmap(va + length, got + PAGE_2M - va);
	if (advise(va, length, MADV_HUGEPAGE) < 0) {
		unmap(va, length);
		say("without thp: this kernel has no transparent huge pages");
		return;
	}
	write_to(va, PAGE_2M, n);
	remember((struct area){ "thp", va, PAGE_2M, n, PAGE_2M, R | W, WRITTEN });
}

uint64_t hugetlb_free(const char *kind, uint64_t n, const char *pool)
{
	uint64_t free = 0, there = 0;
	char path[128], *name = path;

	for (const char *part = "/sys/kernel/mm/hugepages/hugepages-"; *part;)
		*name++ = *part++;
	while (*pool)
		*name++ = *pool++;
	memcpy(name, "/free_hugepages", sizeof("/free_hugepages"));
	get_number(path, &free);
	memcpy(name, "/nr_hugepages", sizeof("/nr_hugepages"));
	if (!get_number(path, &there)) {
		say("without %s: this kernel or CPU has no hugetlb pages of that size", kind);
		return 0;
	}
	/* Those that were set apart at boot are taken; what lacks is asked for now. */
	if (free < n)
		set_number(path, there - free + n);
	memcpy(name, "/free_hugepages", sizeof("/free_hugepages"));
	get_number(path, &free);
	if (free < n)
		say("without %u of %u %s: the kernel has no more such pages free", n - free, n, kind);
	return free < n ? free : n;
}

static void make_hugetlb(const char *kind, uint64_t n, int bits, const char *pool)
{
	uint64_t size = 1ul << bits, va;

	n = hugetlb_free(kind, n, pool);
	if (!n)
		return;
	va = map(0, n * size, R | W, PRIVATE | ANONYMOUS | HUGETLB | HUGETLB_SIZE(bits), -1);
	if (failed(va)) {
		say("without %s: the kernel refused to map them", kind);
		return;
	}
	write_to(va, size, n);
	remember((struct area){ kind, va, size, n, size, R | W, WRITTEN });
}

void make_huge2m(uint64_t n)
{
	make_hugetlb("huge2m", n, 21, "2048kB");
}

void make_huge1g(uint64_t n)
{
	make_hugetlb("huge1g", n, 30, "1048576kB");
}

/*
 * Evenly from the first address that takes five levels to the last page that Linux gives to a
 * user (TASK_SIZE_MAX, arch/x86/include/asm/page_64.h: the very last one stays unused).  A hint
 * there is what asks for it (Documentation/x86/x86_64/5level-paging.rst).
 */
void make_high(uint64_t n)
{
	uint64_t first = 1ul << 47, last = (1ul << 56) - 2 * PAGE;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t hint = n > 1 && i == n - 1 ? last :
				first + ((last - first) / (n > 1 ? n - 1 : 1) * i & -PAGE);
		uint64_t va = small_pages(hint, 1, R | W);

		if (va == hint) {
			write_to(va, PAGE, 1);
			remember((struct area){ "high", va, PAGE, 1, PAGE, R | W, WRITTEN });
			continue;
		}
		if (!failed(va))
			unmap(va, PAGE);
		say("without high: user addresses end at 2^47 (no five levels)");
		return;
	}
}

/*
 * `n` pages that lie `stride` pages apart, so that many tables hold a few each.  A million
 * frames would take 4 GB: past `frames` pages the same ones are mapped again elsewhere, writable
 * and read-only by turns.  What grows is the page tables, 4K for each 512 / `stride` pages.
 */
void make_scattered(uint64_t n)
{
	uint64_t kept = n < frames ? n : frames, step = stride * PAGE, va;
	uint64_t tables = n / (stride < 512 ? 512 / stride : 1) + 3 * (n / kept + 1);
	long fd;

	if (!enough("scattered", (kept + tables) * PAGE))
		return;
	fd = memory_file(kept * step);
	for (uint64_t done = 0; done < n; done += kept) {
		bool writable = done / kept % 2 == 0;
		uint64_t now = n - done < kept ? n - done : kept;
		struct area area = { "scattered", 0, step, now, PAGE };

		va = map(0, now * step, writable ? R | W : R, SHARED, fd);
		if (failed(va)) {
			say("without %u of %u scattered: no room for them", n - done, n);
			break;
		}
		(writable ? write_to : read_from)(va, step, now);
		area.va = va;
		area.prot = writable ? R | W : R;
		area.touched = writable ? WRITTEN : READ_ONCE;
		remember(area);
	}
	close_file(fd);
}
