#include "mmu_gather.h"

void tlb_gather_mmu(struct mmu_gather *tlb, struct mm_struct *mm)
{
	tlb->mm = mm;
	tlb->pages = 0;
	tlb->tables = 0;
}

void tlb_remove_tlb_entry(struct mmu_gather *tlb, unsigned long addr)
{
	if (tlb->pages < TLB_SINGLE_PAGES)
		tlb->page[tlb->pages] = addr;
	if (tlb->pages <= TLB_SINGLE_PAGES)
		tlb->pages++;
}

/*
 * Entries that lead to tables are cached as well (SDM vol. 3A 4.10.3), and any INVLPG drops all of
 * them (4.10.4.1).  So one is needed only if nothing else will be flushed.
 *
 * The list goes through the tables' first words.  An MMU that still holds the table may read one:
 * the address of a frame is even, so that it is an entry that is not present.
 */
void tlb_remove_table(struct mmu_gather *tlb, void *table, unsigned long addr)
{
	if (!tlb->pages)
		tlb_remove_tlb_entry(tlb, addr);
	*(unsigned long *)table = tlb->tables;
	tlb->tables = __pa(table);
}

void tlb_flush_now(struct mmu_gather *tlb, unsigned long addr)
{
	if (tlb->mm->active)
		flush_tlb_one(addr);
}

void tlb_finish_mmu(struct mmu_gather *tlb)
{
	unsigned long table, next;

	if (tlb->mm->active) {
		if (tlb->pages > TLB_SINGLE_PAGES)
			flush_tlb_all();
		else
			for (unsigned int i = 0; i < tlb->pages; i++)
				flush_tlb_one(tlb->page[i]);
	}
	for (table = tlb->tables; table; table = next) {
		next = *(unsigned long *)__va(table);
		table_free(__va(table));
	}
}
