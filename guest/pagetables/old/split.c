/*
 * Large leaves become tables.  Each page below gets what the leaf said, A and D too.  The leaf is
 * taken out and flushed before the table comes in: at no time does the TLB hold pages of two sizes
 * for one address.
 */
#include "pgalloc.h"

int split_huge_pud(struct mmu_gather *tlb, pud_t *pud, unsigned long addr)
{
	unsigned long page = pud_val(*pud);
	pmd_t *table = table_alloc();

	if (!table)
		return -ENOMEM;
	for (int i = 0; i < PTRS_PER_PMD; i++, page += PMD_SIZE)
		set_pmd(table + i, __pmd(page));
	pud_clear(pud);
	tlb_flush_now(tlb, addr);
	pud_populate(pud, table);
	return 0;
}

int split_huge_pmd(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr)
{
	unsigned long page = pgprot_large_2_4k(pmd_val(*pmd));
	pte_t *table = table_alloc();

	if (!table)
		return -ENOMEM;
	for (int i = 0; i < PTRS_PER_PTE; i++, page += PAGE_SIZE)
		set_pte(table + i, __pte(page));
	pmd_clear(pmd);
	tlb_flush_now(tlb, addr);
	pmd_populate(pmd, table);
	return 0;
}
