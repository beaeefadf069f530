/* New rights for what is mapped.  Frames, A, D and memory types stay. */
#include "memory.h"
#include "pgalloc.h"

static long change_pte_range(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr,
			     unsigned long end, unsigned long newprot)
{
	pte_t *pte = pte_offset(pmd, addr);
	long pages = 0;

	do {
		pte_t new = pte_modify(*pte, newprot);

		if (pte_none(*pte) || pte_val(new) == pte_val(*pte))
			continue;
		set_pte(pte, new);
		tlb_remove_tlb_entry(tlb, addr);
		pages++;
	} while (pte++, addr += PAGE_SIZE, addr != end);
	return pages;
}

static long change_huge_pmd(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr,
			    unsigned long newprot)
{
	pmd_t new = pmd_modify(*pmd, newprot);

	if (pmd_val(new) == pmd_val(*pmd))
		return 0;
	set_pmd(pmd, new);
	tlb_remove_tlb_entry(tlb, addr);
	return PMD_SIZE / PAGE_SIZE;
}

static long change_pmd_range(struct mmu_gather *tlb, pud_t *pud, unsigned long addr,
			     unsigned long end, unsigned long newprot)
{
	pmd_t *pmd = pmd_offset(pud, addr);
	unsigned long next;
	long pages = 0;
	int err;

	do {
		next = pmd_addr_end(addr, end);
		if (pmd_trans_huge(*pmd)) {
			if (next - addr == PMD_SIZE) {
				pages += change_huge_pmd(tlb, pmd, addr, newprot);
				continue;
			}
			err = split_huge_pmd(tlb, pmd, addr);
			if (err)
				return err;
		}
		if (pmd_none_or_clear_bad(pmd))
			continue;
		pages += change_pte_range(tlb, pmd, addr, next, newprot);
	} while (pmd++, addr = next, addr != end);
	return pages;
}

static long change_huge_pud(struct mmu_gather *tlb, pud_t *pud, unsigned long addr,
			    unsigned long newprot)
{
	pud_t new = pud_modify(*pud, newprot);

	if (pud_val(new) == pud_val(*pud))
		return 0;
	set_pud(pud, new);
	tlb_remove_tlb_entry(tlb, addr);
	return PUD_SIZE / PAGE_SIZE;
}

static long change_pud_range(struct mmu_gather *tlb, p4d_t *p4d, unsigned long addr,
			     unsigned long end, unsigned long newprot)
{
	pud_t *pud = pud_offset(p4d, addr);
	unsigned long next;
	long pages = 0, ret;

	do {
		next = pud_addr_end(addr, end);
		if (pud_trans_huge(*pud)) {
			if (next - addr == PUD_SIZE) {
				pages += change_huge_pud(tlb, pud, addr, newprot);
				continue;
			}
			ret = split_huge_pud(tlb, pud, addr);
			if (ret)
				return ret;
		}
		if (pud_none_or_clear_bad(pud))
			continue;
		ret = change_pmd_range(tlb, pud, addr, next, newprot);
		if (ret < 0)
			return ret;
		pages += ret;
	} while (pud++, addr = next, addr != end);
	return pages;
}

static long change_p4d_range(struct mmu_gather *tlb, pgd_t *pgd, unsigned long addr,
			     unsigned long end, unsigned long newprot)
{
	p4d_t *p4d = p4d_offset(pgd, addr);
	unsigned long next;
	long pages = 0, ret;

	do {
		next = p4d_addr_end(addr, end);
		if (p4d_none_or_clear_bad(p4d))
			continue;
		ret = change_pud_range(tlb, p4d, addr, next, newprot);
		if (ret < 0)
			return ret;
		pages += ret;
	} while (p4d++, addr = next, addr != end);
	return pages;
}

long change_protection(struct mmu_gather *tlb, unsigned long addr, unsigned long end,
		       unsigned long newprot)
{
	pgd_t *pgd = pgd_offset(tlb->mm, addr);
	unsigned long next;
	long pages = 0, ret;

	do {
		next = pgd_addr_end(addr, end);
		if (pgd_none_or_clear_bad(pgd))
			continue;
		ret = change_p4d_range(tlb, pgd, addr, next, newprot);
		if (ret < 0)
			return ret;
		pages += ret;
	} while (pgd++, addr = next, addr != end);
	return pages;
}
