/* Tables come and go: put below an entry, taken out when empty; leaves that become tables. */
#ifndef OLD_PGALLOC_H
#define OLD_PGALLOC_H

#include "../mm/mmu_gather.h"
#include "pgtable.h"

/* The entry for addr one level down, in a table that is made if there is none; NULL without. */
p4d_t *p4d_alloc(pgd_t *pgd, unsigned long addr);
pud_t *pud_alloc(p4d_t *p4d, unsigned long addr);
pmd_t *pmd_alloc(pud_t *pud, unsigned long addr);
pte_t *pte_alloc(pmd_t *pmd, unsigned long addr);

/* The table below an entry leaves, if nothing is left in it. */
#ifndef P4D_FOLDED
void free_p4d_table(struct mmu_gather *tlb, pgd_t *pgd, unsigned long addr);
#endif
#ifndef PUD_FOLDED
void free_pud_table(struct mmu_gather *tlb, p4d_t *p4d, unsigned long addr);
#endif
void free_pmd_table(struct mmu_gather *tlb, pud_t *pud, unsigned long addr);
void free_pte_table(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr);

/* A large leaf becomes a table of smaller ones, which say the same. */
int split_huge_pud(struct mmu_gather *tlb, pud_t *pud, unsigned long addr);
int split_huge_pmd(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr);

/* What leads nowhere good is reported, cleared, and counts as nothing. */
void pgd_clear_bad(pgd_t *pgd);
void p4d_clear_bad(p4d_t *p4d);
void pud_clear_bad(pud_t *pud);
void pmd_clear_bad(pmd_t *pmd);

static inline bool pgd_none_or_clear_bad(pgd_t *pgd)
{
	if (pgd_none(*pgd))
		return true;
	if (pgd_bad(*pgd)) {
		pgd_clear_bad(pgd);
		return true;
	}
	return false;
}

static inline bool p4d_none_or_clear_bad(p4d_t *p4d)
{
	if (p4d_none(*p4d))
		return true;
	if (p4d_bad(*p4d)) {
		p4d_clear_bad(p4d);
		return true;
	}
	return false;
}

static inline bool pud_none_or_clear_bad(pud_t *pud)
{
	if (pud_none(*pud))
		return true;
	if (pud_bad(*pud)) {
		pud_clear_bad(pud);
		return true;
	}
	return false;
}

static inline bool pmd_none_or_clear_bad(pmd_t *pmd)
{
	if (pmd_none(*pmd))
		return true;
	if (pmd_bad(*pmd)) {
		pmd_clear_bad(pmd);
		return true;
	}
	return false;
}

#endif
