/* Mapping a run of frames: tables are made on the way down, leaves are as large as they may. */
#include "memory.h"
#include "pgalloc.h"

static int remap_pte_range(pmd_t *pmd, unsigned long addr, unsigned long end, unsigned long pa,
			   unsigned long prot)
{
	pte_t *pte = pte_alloc(pmd, addr);

	if (!pte)
		return -ENOMEM;
	do {
		BUG_ON(!pte_none(*pte));
		set_pte(pte, __pte(pa | prot));
	} while (pte++, pa += PAGE_SIZE, addr += PAGE_SIZE, addr != end);
	return 0;
}

static bool remap_try_huge_pmd(pmd_t *pmd, unsigned long addr, unsigned long next,
			       unsigned long pa, unsigned long prot, unsigned int max_page_shift)
{
	if (max_page_shift < PMD_SHIFT)
		return false;
	if (next - addr != PMD_SIZE || (pa & ~PMD_MASK))
		return false;
	if (!pmd_none(*pmd))
		return false;
	set_pmd(pmd, __pmd(pa | pgprot_4k_2_large(prot)));
	return true;
}

static int remap_pmd_range(pud_t *pud, unsigned long addr, unsigned long end, unsigned long pa,
			   unsigned long prot, unsigned int max_page_shift)
{
	pmd_t *pmd = pmd_alloc(pud, addr);
	unsigned long next;
	int err;

	if (!pmd)
		return -ENOMEM;
	do {
		next = pmd_addr_end(addr, end);
		if (remap_try_huge_pmd(pmd, addr, next, pa, prot, max_page_shift))
			continue;
		BUG_ON(pmd_trans_huge(*pmd));
		err = remap_pte_range(pmd, addr, next, pa, prot);
		if (err)
			return err;
	} while (pmd++, pa += next - addr, addr = next, addr != end);
	return 0;
}

static bool remap_try_huge_pud(pud_t *pud, unsigned long addr, unsigned long next,
			       unsigned long pa, unsigned long prot, unsigned int max_page_shift)
{
	if (max_page_shift < PUD_SHIFT)
		return false;
	if (next - addr != PUD_SIZE || (pa & ~PUD_MASK))
		return false;
	if (!pud_none(*pud))
		return false;
	set_pud(pud, __pud(pa | pgprot_4k_2_large(prot)));
	return true;
}

static int remap_pud_range(p4d_t *p4d, unsigned long addr, unsigned long end, unsigned long pa,
			   unsigned long prot, unsigned int max_page_shift)
{
	pud_t *pud = pud_alloc(p4d, addr);
	unsigned long next;
	int err;

	if (!pud)
		return -ENOMEM;
	do {
		next = pud_addr_end(addr, end);
		if (remap_try_huge_pud(pud, addr, next, pa, prot, max_page_shift))
			continue;
		BUG_ON(pud_trans_huge(*pud));
		err = remap_pmd_range(pud, addr, next, pa, prot, max_page_shift);
		if (err)
			return err;
	} while (pud++, pa += next - addr, addr = next, addr != end);
	return 0;
}

static int remap_p4d_range(pgd_t *pgd, unsigned long addr, unsigned long end, unsigned long pa,
			   unsigned long prot, unsigned int max_page_shift)
{
	p4d_t *p4d = p4d_alloc(pgd, addr);
	unsigned long next;
	int err;

	if (!p4d)
		return -ENOMEM;
	do {
		next = p4d_addr_end(addr, end);
		err = remap_pud_range(p4d, addr, next, pa, prot, max_page_shift);
		if (err)
			return err;
	} while (p4d++, pa += next - addr, addr = next, addr != end);
	return 0;
}

/* What was mapped before the frames for tables ran out, and the tables that were made. */
static void remap_undo(struct mm_struct *mm, unsigned long addr, unsigned long end)
{
	struct mmu_gather tlb;

	tlb_gather_mmu(&tlb, mm);
	unmap_page_range(&tlb, addr, end);
	tlb_finish_mmu(&tlb);
}

int remap_pfn_range(struct mm_struct *mm, unsigned long addr, unsigned long pfn,
		    unsigned long size, unsigned long prot, unsigned int max_page_shift)
{
	unsigned long start = addr, end = addr + size, pa = pfn << PAGE_SHIFT, next;
	pgd_t *pgd = pgd_offset(mm, addr);
	int err;

	do {
		next = pgd_addr_end(addr, end);
		err = remap_p4d_range(pgd, addr, next, pa, prot, max_page_shift);
		if (err) {
			remap_undo(mm, start, end);
			return err;
		}
	} while (pgd++, pa += next - addr, addr = next, addr != end);
	return 0;
}
