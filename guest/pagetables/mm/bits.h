/*
 * An entry of x86-64, SDM vol. 3A 4.5: the same bits at every level.  With three levels and with
 * six there is no such MMU; the entries are these all the same.
 */
#ifndef MM_BITS_H
#define MM_BITS_H

#define _PAGE_PRESENT	(1UL << 0)
#define _PAGE_RW	(1UL << 1)
#define _PAGE_USER	(1UL << 2)
#define _PAGE_PWT	(1UL << 3)
#define _PAGE_PCD	(1UL << 4)
#define _PAGE_ACCESSED	(1UL << 5)
#define _PAGE_DIRTY	(1UL << 6)
#define _PAGE_PSE	(1UL << 7)	/* a leaf above the last level */
#define _PAGE_PAT	(1UL << 7)	/* of a 4K leaf */
#define _PAGE_PAT_LARGE	(1UL << 12)	/* of a larger one */
#define _PAGE_PKEY_MASK	(15UL << 59)
#define _PAGE_NX	(1UL << 63)

#define PAGE_SHIFT	12
#define PAGE_SIZE	(1UL << PAGE_SHIFT)
#define PAGE_MASK	(~(PAGE_SIZE - 1))
#define PTE_PFN_MASK	0x000ffffffffff000UL

/* Upper entries deny nothing and are never written by the MMU: the leaf decides. */
#define _PAGE_TABLE \
	(_PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED | _PAGE_DIRTY)

/* What change_protection() gives a leaf anew; its frame, A, D and memory type stay. */
#define _PAGE_PROT_MASK	(_PAGE_RW | _PAGE_USER | _PAGE_NX | _PAGE_PKEY_MASK)

#endif
