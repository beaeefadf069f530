#include "pgalloc.h"

#ifndef P4D_FOLDED
static p4d_t *p4d_alloc_one(void)
{
	return table_alloc();
}
#endif

#ifndef PUD_FOLDED
static pud_t *pud_alloc_one(void)
{
	return table_alloc();
}
#endif

static pmd_t *pmd_alloc_one(void)
{
	return table_alloc();
}

static pte_t *pte_alloc_one(void)
{
	return table_alloc();
}

p4d_t *p4d_alloc(pgd_t *pgd, unsigned long addr)
{
	if (pgd_none(*pgd)) {
		p4d_t *table = p4d_alloc_one();

		if (!table)
			return NULL;
		pgd_populate(pgd, table);
	}
	return p4d_offset(pgd, addr);
}

pud_t *pud_alloc(p4d_t *p4d, unsigned long addr)
{
	if (p4d_none(*p4d)) {
		pud_t *table = pud_alloc_one();

		if (!table)
			return NULL;
		p4d_populate(p4d, table);
	}
	return pud_offset(p4d, addr);
}

pmd_t *pmd_alloc(pud_t *pud, unsigned long addr)
{
	if (pud_none(*pud)) {
		pmd_t *table = pmd_alloc_one();

		if (!table)
			return NULL;
		pud_populate(pud, table);
	}
	return pmd_offset(pud, addr);
}

pte_t *pte_alloc(pmd_t *pmd, unsigned long addr)
{
	if (pmd_none(*pmd)) {
		pte_t *table = pte_alloc_one();

		if (!table)
			return NULL;
		pmd_populate(pmd, table);
	}
	return pte_offset(pmd, addr);
}

#ifndef P4D_FOLDED
void free_p4d_table(struct mmu_gather *tlb, pgd_t *pgd, unsigned long addr)
{
	p4d_t *table = pgd_pgtable(*pgd);

	if (!table_empty(table))
		return;
	pgd_clear(pgd);
	tlb_remove_table(tlb, table, addr);
}
#endif

#ifndef PUD_FOLDED
void free_pud_table(struct mmu_gather *tlb, p4d_t *p4d, unsigned long addr)
{
	pud_t *table = p4d_pgtable(*p4d);

	if (!table_empty(table))
		return;
	p4d_clear(p4d);
	tlb_remove_table(tlb, table, addr);
}
#endif

void free_pmd_table(struct mmu_gather *tlb, pud_t *pud, unsigned long addr)
{
	pmd_t *table = pud_pgtable(*pud);

	if (!table_empty(table))
		return;
	pud_clear(pud);
	tlb_remove_table(tlb, table, addr);
}

void free_pte_table(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr)
{
	pte_t *table = pmd_pgtable(*pmd);

	if (!table_empty(table))
		return;
	pmd_clear(pmd);
	tlb_remove_table(tlb, table, addr);
}

void pgd_clear_bad(pgd_t *pgd)
{
	trace(TRACE_BAD, pgd_val(*pgd));
	pgd_clear(pgd);
}

void p4d_clear_bad(p4d_t *p4d)
{
	trace(TRACE_BAD, p4d_val(*p4d));
	p4d_clear(p4d);
}

void pud_clear_bad(pud_t *pud)
{
	trace(TRACE_BAD, pud_val(*pud));
	pud_clear(pud);
}

void pmd_clear_bad(pmd_t *pmd)
{
	trace(TRACE_BAD, pmd_val(*pmd));
	pmd_clear(pmd);
}
