/* One table at many addresses. */
#include "kinds.h"
#include "system.h"
#include "text.h"
#include "witness.h"

enum { PAGES = 8 };

/*
 * The same gigabyte of a hugetlb file, mapped at `n` places side by side: where such a mapping
 * covers all that a PUD entry spans, Linux lets the entries of all refer to one table of PMDs
 * (mm/hugetlb.c, huge_pmd_share).  So there are PAGES leaves, and n times as many addresses.
 */
void make_folded(uint64_t n)
{
	uint64_t got, va, at;
	long fd;

	if (hugetlb_free("folded", PAGES, "2048kB") < PAGES)
		return;
	fd = hugetlb_file(PAGE_1G);
	got = map(0, (n + 1) * PAGE_1G, NONE, PRIVATE | ANONYMOUS | NORESERVE, -1);
	if (fd < 0 || failed(got)) {
		say("without folded: no hugetlb files, or no room for %u GB of addresses", n + 1);
		return;
	}
	va = (got + PAGE_1G - 1) & -PAGE_1G;
	for (uint64_t i = 0; i < n; i++) {
		at = map(va + i * PAGE_1G, PAGE_1G, R | W, SHARED | FIXED | NORESERVE, fd);
		if (failed(at)) {
			say("without %u of %u folded: no more mappings", n - i, n);
			n = i;
			break;
		}
		/* The first time makes the pages; the others find the table, and all in it. */
		write_to(at, PAGE_2M, i ? 1 : PAGES);
	}
	close_file(fd);
	if (!n)
		return;
	remember((struct area){ "folded", va, PAGE_1G, n, PAGE_2M, R | W, WRITTEN });
	at = va + (PAGES - 1) * PAGE_2M;
	remember((struct area){ "folded", at, PAGE_1G, n, PAGE_2M, R | W, WRITTEN });
}
