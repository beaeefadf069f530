/*
 * What an operation has taken out of the tables, until the TLB has forgotten it: translations to
 * flush, and tables whose frames must not be used again before.
 */
#ifndef MM_MMU_GATHER_H
#define MM_MMU_GATHER_H

#include "mm.h"

/* More single pages than this, and all is flushed: Linux's tlb_single_page_flush_ceiling. */
#define TLB_SINGLE_PAGES 33

struct mmu_gather {
	struct mm_struct *mm;
	unsigned long page[TLB_SINGLE_PAGES];
	unsigned int pages;	/* one more than fit: all */
	unsigned long tables;	/* a list of frames; 0: none */
};

void tlb_gather_mmu(struct mmu_gather *tlb, struct mm_struct *mm);

/* A present leaf at addr was changed or taken out; one INVLPG does for a leaf of any size. */
void tlb_remove_tlb_entry(struct mmu_gather *tlb, unsigned long addr);

/* The table that translated addr was taken out, and had nothing in it. */
void tlb_remove_table(struct mmu_gather *tlb, void *table, unsigned long addr);

/* At once, for one address: before a leaf is replaced by a table. */
void tlb_flush_now(struct mmu_gather *tlb, unsigned long addr);

void tlb_finish_mmu(struct mmu_gather *tlb);

#endif
