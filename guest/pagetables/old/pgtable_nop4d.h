/*
 * No fourth level directory: it is folded into the page global directory.  An entry of the latter
 * counts as a table of one entry, which is always there and good; whether it really is, is asked
 * one level further down, where the same entry comes again as a p4d.
 */
#ifndef OLD_PGTABLE_NOP4D_H
#define OLD_PGTABLE_NOP4D_H

#define P4D_FOLDED   1
#define P4D_SHIFT    PGDIR_SHIFT
#define PTRS_PER_P4D 1
#define P4D_SIZE     (1UL << P4D_SHIFT)

typedef struct {
	pgd_t pgd;
} p4d_t;

#define p4d_val(x) pgd_val((x).pgd)

#define p4d_addr_end(addr, end) (end)

static inline bool pgd_none(pgd_t pgd)
{
	return false;
}

static inline bool pgd_bad(pgd_t pgd)
{
	return false;
}

static inline void pgd_clear(pgd_t *pgd)
{
}

#define pgd_populate(pgd, p4d)	   do { } while (0)
#define p4d_alloc_one()		   NULL
#define free_p4d_table(tlb, pgd, addr) do { } while (0)

static inline p4d_t *p4d_offset(pgd_t *pgd, unsigned long addr)
{
	return (p4d_t *)pgd;
}

#endif
