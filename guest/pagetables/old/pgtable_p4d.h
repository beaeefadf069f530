/* The fourth level directory, and what entries of the level above it mean then. */
#ifndef OLD_PGTABLE_P4D_H
#define OLD_PGTABLE_P4D_H

#define P4D_SHIFT    39
#define PTRS_PER_P4D 512
#define P4D_SIZE     (1UL << P4D_SHIFT)

typedef struct {
	unsigned long p4d;
} p4d_t;

#define p4d_val(x) ((x).p4d)

#define p4d_addr_end(addr, end) level_addr_end(addr, end, P4D_SIZE)

static inline bool pgd_none(pgd_t pgd)
{
	return !pgd_val(pgd);
}

static inline bool pgd_bad(pgd_t pgd)
{
	return table_bad(pgd_val(pgd));
}

static inline void pgd_clear(pgd_t *pgd)
{
	pgd_val(*pgd) = 0;
}

static inline void pgd_populate(pgd_t *pgd, p4d_t *p4d)
{
	pgd_val(*pgd) = __pa(p4d) | _PAGE_TABLE;
}

static inline p4d_t *pgd_pgtable(pgd_t pgd)
{
	return __va(pgd_val(pgd) & PTE_PFN_MASK);
}

static inline p4d_t *p4d_offset(pgd_t *pgd, unsigned long addr)
{
	return pgd_pgtable(*pgd) + level_index(addr, P4D_SHIFT, PTRS_PER_P4D);
}

#endif
