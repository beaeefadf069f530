/* The five operations as callers of the old way have them, and what looks while walking. */
#include "old/memory.h"

static int count_pte(pte_t *pte, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	leaves += !pte_none(*pte);
	return 0;
}

static int count_pmd(pmd_t *pmd, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	leaves += pmd_trans_huge(*pmd);
	return 0;
}

static int count_pud(pud_t *pud, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	leaves += pud_trans_huge(*pud);
	return 0;
}

static const struct mm_walk_ops walk_ops = {
	.pud_entry = count_pud,
	.pmd_entry = count_pmd,
	.pte_entry = count_pte,
};

#define UNMAP(tlb, start, end)	       unmap_page_range, (tlb), (start), (end)
#define COPY(to, tlb, start, end)      copy_page_range, (to), (tlb), (start), (end)
#define PROTECT(tlb, start, end, prot) change_protection, (tlb), (start), (end), (prot)
#define WALK(mm, start, end)	       walk_page_range, (mm), (start), (end), &walk_ops, NULL
#define REMAP(mm, start, end, pa, prot, shift) \
	remap_pfn_range, (mm), (start), (pa) >> PAGE_SHIFT, (end) - (start), (prot), (shift)
