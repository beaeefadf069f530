/*
 * The old way's types: one for the entries of each level, so that the compiler tells them apart.
 * What a level is, is in its header: the page middle directory and the page table are always
 * there, the upper two are folded into the top one where LEVELS says so.
 */
#ifndef OLD_PGTABLE_H
#define OLD_PGTABLE_H

#include "../mm/bits.h"
#include "../mm/mm.h"

#if LEVELS < 3 || LEVELS > 5
#error "LEVELS is 3, 4 or 5"
#endif

/* An entry that leads to a table may have these bits and no others. */
#define table_bad(entry) \
	(((entry) & ~(PTE_PFN_MASK | _PAGE_TABLE)) || !((entry) & _PAGE_PRESENT))

/* The end of the entry that maps addr, or end if that comes first.  An end of 0 is 2^64. */
#define level_addr_end(addr, end, size)                                       \
	({                                                                    \
		unsigned long boundary_ = ((addr) + (size)) & ~((size) - 1);  \
		boundary_ - 1 < (end) - 1 ? boundary_ : (end);                \
	})

#define level_index(addr, shift, entries) (((addr) >> (shift)) & ((entries) - 1))

#include "pgtable_pgd.h"
#if LEVELS > 4
#include "pgtable_p4d.h"
#else
#include "pgtable_nop4d.h"
#endif
#if LEVELS > 3
#include "pgtable_pud.h"
#else
#include "pgtable_nopud.h"
#endif
#include "pgtable_pmd.h"
#include "pgtable_pte.h"

#endif
