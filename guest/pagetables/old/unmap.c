/* Unmapping: what is mapped in [addr, end) goes, and tables that are empty then. */
#include "memory.h"
#include "pgalloc.h"

static void zap_pte_range(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr,
			  unsigned long end)
{
	pte_t *pte = pte_offset(pmd, addr);

	do {
		if (pte_none(*pte))
			continue;
		pte_clear(pte);
		tlb_remove_tlb_entry(tlb, addr);
	} while (pte++, addr += PAGE_SIZE, addr != end);
}

static void zap_huge_pmd(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr)
{
	pmd_clear(pmd);
	tlb_remove_tlb_entry(tlb, addr);
}

static int zap_pmd_range(struct mmu_gather *tlb, pud_t *pud, unsigned long addr,
			 unsigned long end)
{
	pmd_t *pmd = pmd_offset(pud, addr);
	unsigned long next;
	int err;

	do {
		next = pmd_addr_end(addr, end);
		if (pmd_trans_huge(*pmd)) {
			if (next - addr == PMD_SIZE) {
				zap_huge_pmd(tlb, pmd, addr);
				continue;
			}
			err = split_huge_pmd(tlb, pmd, addr);
			if (err)
				return err;
		}
		if (pmd_none_or_clear_bad(pmd))
			continue;
		zap_pte_range(tlb, pmd, addr, next);
		free_pte_table(tlb, pmd, addr);
	} while (pmd++, addr = next, addr != end);
	return 0;
}

static void zap_huge_pud(struct mmu_gather *tlb, pud_t *pud, unsigned long addr)
{
	pud_clear(pud);
	tlb_remove_tlb_entry(tlb, addr);
}

static int zap_pud_range(struct mmu_gather *tlb, p4d_t *p4d, unsigned long addr,
			 unsigned long end)
{
	pud_t *pud = pud_offset(p4d, addr);
	unsigned long next;
	int err;

	do {
		next = pud_addr_end(addr, end);
		if (pud_trans_huge(*pud)) {
			if (next - addr == PUD_SIZE) {
				zap_huge_pud(tlb, pud, addr);
				continue;
			}
			err = split_huge_pud(tlb, pud, addr);
			if (err)
				return err;
		}
		if (pud_none_or_clear_bad(pud))
			continue;
		err = zap_pmd_range(tlb, pud, addr, next);
		free_pmd_table(tlb, pud, addr);
		if (err)
			return err;
	} while (pud++, addr = next, addr != end);
	return 0;
}

static int zap_p4d_range(struct mmu_gather *tlb, pgd_t *pgd, unsigned long addr,
			 unsigned long end)
{
	p4d_t *p4d = p4d_offset(pgd, addr);
	unsigned long next;
	int err;

	do {
		next = p4d_addr_end(addr, end);
		if (p4d_none_or_clear_bad(p4d))
			continue;
		err = zap_pud_range(tlb, p4d, addr, next);
		free_pud_table(tlb, p4d, addr);
		if (err)
			return err;
	} while (p4d++, addr = next, addr != end);
	return 0;
}

int unmap_page_range(struct mmu_gather *tlb, unsigned long addr, unsigned long end)
{
	pgd_t *pgd = pgd_offset(tlb->mm, addr);
	unsigned long next;
	int err;

	do {
		next = pgd_addr_end(addr, end);
		if (pgd_none_or_clear_bad(pgd))
			continue;
		err = zap_p4d_range(tlb, pgd, addr, next);
		free_p4d_table(tlb, pgd, addr);
		if (err)
			return err;
	} while (pgd++, addr = next, addr != end);
	return 0;
}
