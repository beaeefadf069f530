/*
 * The five operations as their callers know them.  Ranges are [addr, end), not empty, in whole
 * pages; an end of 0 is the end of the address space.
 */
#ifndef OLD_MEMORY_H
#define OLD_MEMORY_H

#include "../mm/mmu_gather.h"
#include "pgtable.h"

/* Takes out what is mapped, and frees tables that are empty then.  -ENOMEM: as far as it came. */
int unmap_page_range(struct mmu_gather *tlb, unsigned long addr, unsigned long end);

/*
 * Maps frames where nothing is mapped, in leaves as large as alignment and max_page_shift allow.
 * -ENOMEM: nothing is mapped.
 */
int remap_pfn_range(struct mm_struct *mm, unsigned long addr, unsigned long pfn,
		    unsigned long size, unsigned long prot, unsigned int max_page_shift);

/*
 * As fork does with private memory: the same frames in another address space, where nothing is
 * mapped.  Both lose R/W, the copy starts without A.  tlb is the source's.
 */
int copy_page_range(struct mm_struct *dst_mm, struct mmu_gather *tlb, unsigned long addr,
		    unsigned long end);

/* Gives leaves new rights, of _PAGE_PROT_MASK.  Returns how many pages changed, or -ENOMEM. */
long change_protection(struct mmu_gather *tlb, unsigned long addr, unsigned long end,
		       unsigned long newprot);

struct mm_walk;

/*
 * Any may be absent.  pmd_entry and pud_entry see every entry there, leaf or not; pte_entry sees
 * absent entries, too, while other absent ones are pte_hole's, with a depth that is 0 for pgd and
 * MAX_DEPTH for pte.  What is not 0 ends the walk.
 */
#define MAX_DEPTH 4

struct mm_walk_ops {
	int (*pud_entry)(pud_t *pud, unsigned long addr, unsigned long next, struct mm_walk *walk);
	int (*pmd_entry)(pmd_t *pmd, unsigned long addr, unsigned long next, struct mm_walk *walk);
	int (*pte_entry)(pte_t *pte, unsigned long addr, unsigned long next, struct mm_walk *walk);
	int (*pte_hole)(unsigned long addr, unsigned long next, int depth, struct mm_walk *walk);
};

struct mm_walk {
	const struct mm_walk_ops *ops;
	struct mm_struct *mm;
	void *private;
};

int walk_page_range(struct mm_struct *mm, unsigned long start, unsigned long end,
		    const struct mm_walk_ops *ops, void *private);

#endif
