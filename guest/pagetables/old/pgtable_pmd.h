/* The page middle directory, always there, and what entries of the level above it mean. */
#ifndef OLD_PGTABLE_PMD_H
#define OLD_PGTABLE_PMD_H

#define PUD_SIZE     (1UL << PUD_SHIFT)
#define PUD_MASK     (~(PUD_SIZE - 1))
#define PMD_SHIFT    21
#define PTRS_PER_PMD 512
#define PMD_SIZE     (1UL << PMD_SHIFT)
#define PMD_MASK     (~(PMD_SIZE - 1))

typedef struct {
	unsigned long pmd;
} pmd_t;

#define pmd_val(x) ((x).pmd)
#define __pmd(x)   ((pmd_t){ x })

#define pmd_addr_end(addr, end) level_addr_end(addr, end, PMD_SIZE)

static inline bool pud_none(pud_t pud)
{
	return !pud_val(pud);
}

static inline bool pud_bad(pud_t pud)
{
	return table_bad(pud_val(pud));
}

static inline bool pud_trans_huge(pud_t pud)
{
	unsigned long leaf = _PAGE_PRESENT | _PAGE_PSE;

	return (pud_val(pud) & leaf) == leaf;
}

static inline void set_pud(pud_t *pud, pud_t value)
{
	*pud = value;
}

static inline void pud_clear(pud_t *pud)
{
	pud_val(*pud) = 0;
}

static inline void pud_populate(pud_t *pud, pmd_t *pmd)
{
	pud_val(*pud) = __pa(pmd) | _PAGE_TABLE;
}

static inline pmd_t *pud_pgtable(pud_t pud)
{
	return __va(pud_val(pud) & PTE_PFN_MASK);
}

static inline pmd_t *pmd_offset(pud_t *pud, unsigned long addr)
{
	return pud_pgtable(*pud) + level_index(addr, PMD_SHIFT, PTRS_PER_PMD);
}

static inline pud_t pud_wrprotect(pud_t pud)
{
	return __pud(pud_val(pud) & ~_PAGE_RW);
}

static inline pud_t pud_mkold(pud_t pud)
{
	return __pud(pud_val(pud) & ~_PAGE_ACCESSED);
}

static inline pud_t pud_modify(pud_t pud, unsigned long prot)
{
	return __pud((pud_val(pud) & ~_PAGE_PROT_MASK) | prot);
}

#endif
