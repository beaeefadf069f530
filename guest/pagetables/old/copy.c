/*
 * Copying, as fork does with private memory: both sides lose R/W, so that the first write to
 * either faults; the copy has not been accessed yet.
 */
#include "memory.h"
#include "pgalloc.h"

static int copy_pte_range(pmd_t *dst_pmd, struct mmu_gather *tlb, pmd_t *src_pmd,
			  unsigned long addr, unsigned long end)
{
	pte_t *src_pte = pte_offset(src_pmd, addr);
	pte_t *dst_pte = pte_alloc(dst_pmd, addr);

	if (!dst_pte)
		return -ENOMEM;
	do {
		pte_t pte = pte_wrprotect(*src_pte);

		if (pte_none(pte))
			continue;
		BUG_ON(!pte_none(*dst_pte));
		if (pte_val(pte) != pte_val(*src_pte)) {
			set_pte(src_pte, pte);
			tlb_remove_tlb_entry(tlb, addr);
		}
		set_pte(dst_pte, pte_mkold(pte));
	} while (dst_pte++, src_pte++, addr += PAGE_SIZE, addr != end);
	return 0;
}

static void copy_huge_pmd(pmd_t *dst_pmd, struct mmu_gather *tlb, pmd_t *src_pmd,
			  unsigned long addr)
{
	pmd_t pmd = pmd_wrprotect(*src_pmd);

	BUG_ON(!pmd_none(*dst_pmd));
	if (pmd_val(pmd) != pmd_val(*src_pmd)) {
		set_pmd(src_pmd, pmd);
		tlb_remove_tlb_entry(tlb, addr);
	}
	set_pmd(dst_pmd, pmd_mkold(pmd));
}

static int copy_pmd_range(pud_t *dst_pud, struct mmu_gather *tlb, pud_t *src_pud,
			  unsigned long addr, unsigned long end)
{
	pmd_t *src_pmd = pmd_offset(src_pud, addr);
	pmd_t *dst_pmd = pmd_alloc(dst_pud, addr);
	unsigned long next;
	int err;

	if (!dst_pmd)
		return -ENOMEM;
	do {
		next = pmd_addr_end(addr, end);
		if (pmd_trans_huge(*src_pmd)) {
			if (next - addr == PMD_SIZE) {
				copy_huge_pmd(dst_pmd, tlb, src_pmd, addr);
				continue;
			}
			err = split_huge_pmd(tlb, src_pmd, addr);
			if (err)
				return err;
		}
		if (pmd_none_or_clear_bad(src_pmd))
			continue;
		err = copy_pte_range(dst_pmd, tlb, src_pmd, addr, next);
		if (err)
			return err;
	} while (dst_pmd++, src_pmd++, addr = next, addr != end);
	return 0;
}

static void copy_huge_pud(pud_t *dst_pud, struct mmu_gather *tlb, pud_t *src_pud,
			  unsigned long addr)
{
	pud_t pud = pud_wrprotect(*src_pud);

	BUG_ON(!pud_none(*dst_pud));
	if (pud_val(pud) != pud_val(*src_pud)) {
		set_pud(src_pud, pud);
		tlb_remove_tlb_entry(tlb, addr);
	}
	set_pud(dst_pud, pud_mkold(pud));
}

static int copy_pud_range(p4d_t *dst_p4d, struct mmu_gather *tlb, p4d_t *src_p4d,
			  unsigned long addr, unsigned long end)
{
	pud_t *src_pud = pud_offset(src_p4d, addr);
	pud_t *dst_pud = pud_alloc(dst_p4d, addr);
	unsigned long next;
	int err;

	if (!dst_pud)
		return -ENOMEM;
	do {
		next = pud_addr_end(addr, end);
		if (pud_trans_huge(*src_pud)) {
			if (next - addr == PUD_SIZE) {
				copy_huge_pud(dst_pud, tlb, src_pud, addr);
				continue;
			}
			err = split_huge_pud(tlb, src_pud, addr);
			if (err)
				return err;
		}
		if (pud_none_or_clear_bad(src_pud))
			continue;
		err = copy_pmd_range(dst_pud, tlb, src_pud, addr, next);
		if (err)
			return err;
	} while (dst_pud++, src_pud++, addr = next, addr != end);
	return 0;
}

static int copy_p4d_range(pgd_t *dst_pgd, struct mmu_gather *tlb, pgd_t *src_pgd,
			  unsigned long addr, unsigned long end)
{
	p4d_t *src_p4d = p4d_offset(src_pgd, addr);
	p4d_t *dst_p4d = p4d_alloc(dst_pgd, addr);
	unsigned long next;
	int err;

	if (!dst_p4d)
		return -ENOMEM;
	do {
		next = p4d_addr_end(addr, end);
		if (p4d_none_or_clear_bad(src_p4d))
			continue;
		err = copy_pud_range(dst_p4d, tlb, src_p4d, addr, next);
		if (err)
			return err;
	} while (dst_p4d++, src_p4d++, addr = next, addr != end);
	return 0;
}

int copy_page_range(struct mm_struct *dst_mm, struct mmu_gather *tlb, unsigned long addr,
		    unsigned long end)
{
	pgd_t *src_pgd = pgd_offset(tlb->mm, addr);
	pgd_t *dst_pgd = pgd_offset(dst_mm, addr);
	unsigned long next;
	int err;

	do {
		next = pgd_addr_end(addr, end);
		if (pgd_none_or_clear_bad(src_pgd))
			continue;
		err = copy_p4d_range(dst_pgd, tlb, src_pgd, addr, next);
		if (err)
			return err;
	} while (dst_pgd++, src_pgd++, addr = next, addr != end);
	return 0;
}
