/* The page table, always there, and what entries of the level above it mean. */
#ifndef OLD_PGTABLE_PTE_H
#define OLD_PGTABLE_PTE_H

#define PTRS_PER_PTE 512

typedef struct {
	unsigned long pte;
} pte_t;

#define pte_val(x) ((x).pte)
#define __pte(x)   ((pte_t){ x })

static inline bool pmd_none(pmd_t pmd)
{
	return !pmd_val(pmd);
}

static inline bool pmd_bad(pmd_t pmd)
{
	return table_bad(pmd_val(pmd));
}

static inline bool pmd_trans_huge(pmd_t pmd)
{
	unsigned long leaf = _PAGE_PRESENT | _PAGE_PSE;

	return (pmd_val(pmd) & leaf) == leaf;
}

static inline void set_pmd(pmd_t *pmd, pmd_t value)
{
	*pmd = value;
}

static inline void pmd_clear(pmd_t *pmd)
{
	pmd_val(*pmd) = 0;
}

static inline void pmd_populate(pmd_t *pmd, pte_t *pte)
{
	pmd_val(*pmd) = __pa(pte) | _PAGE_TABLE;
}

static inline pte_t *pmd_pgtable(pmd_t pmd)
{
	return __va(pmd_val(pmd) & PTE_PFN_MASK);
}

static inline pte_t *pte_offset(pmd_t *pmd, unsigned long addr)
{
	return pmd_pgtable(*pmd) + level_index(addr, PAGE_SHIFT, PTRS_PER_PTE);
}

static inline bool pte_none(pte_t pte)
{
	return !pte_val(pte);
}

static inline void set_pte(pte_t *pte, pte_t value)
{
	*pte = value;
}

static inline void pte_clear(pte_t *pte)
{
	pte_val(*pte) = 0;
}

static inline pmd_t pmd_wrprotect(pmd_t pmd)
{
	return __pmd(pmd_val(pmd) & ~_PAGE_RW);
}

static inline pte_t pte_wrprotect(pte_t pte)
{
	return __pte(pte_val(pte) & ~_PAGE_RW);
}

static inline pmd_t pmd_mkold(pmd_t pmd)
{
	return __pmd(pmd_val(pmd) & ~_PAGE_ACCESSED);
}

static inline pte_t pte_mkold(pte_t pte)
{
	return __pte(pte_val(pte) & ~_PAGE_ACCESSED);
}

static inline pmd_t pmd_modify(pmd_t pmd, unsigned long prot)
{
	return __pmd((pmd_val(pmd) & ~_PAGE_PROT_MASK) | prot);
}

static inline pte_t pte_modify(pte_t pte, unsigned long prot)
{
	return __pte((pte_val(pte) & ~_PAGE_PROT_MASK) | prot);
}

/* The bit for the memory type lies elsewhere in a large leaf, where bit 7 says that it is one. */
static inline unsigned long pgprot_4k_2_large(unsigned long prot)
{
	return (prot & ~_PAGE_PAT) | (prot & _PAGE_PAT) << 5 | _PAGE_PSE;
}

static inline unsigned long pgprot_large_2_4k(unsigned long prot)
{
	return (prot & ~(_PAGE_PSE | _PAGE_PAT_LARGE)) | (prot & _PAGE_PAT_LARGE) >> 5;
}

#endif
