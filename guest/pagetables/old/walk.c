/* Looking at what is mapped, entry by entry.  Nothing is split, made or freed. */
#include "memory.h"
#include "pgalloc.h"

/* A hole in a folded level is really one in the level that it is folded into. */
static int real_depth(int depth)
{
	static const int entries[] = { PTRS_PER_PGD, PTRS_PER_P4D, PTRS_PER_PUD, PTRS_PER_PMD };

	while (depth && entries[depth] == 1)
		depth--;
	return depth;
}

static int walk_hole(unsigned long addr, unsigned long next, int depth, struct mm_walk *walk)
{
	if (!walk->ops->pte_hole)
		return 0;
	return walk->ops->pte_hole(addr, next, real_depth(depth), walk);
}

static int walk_pte_range(pmd_t *pmd, unsigned long addr, unsigned long end, struct mm_walk *walk)
{
	pte_t *pte = pte_offset(pmd, addr);
	int err;

	do {
		err = walk->ops->pte_entry(pte, addr, addr + PAGE_SIZE, walk);
		if (err)
			return err;
	} while (pte++, addr += PAGE_SIZE, addr != end);
	return 0;
}

static int walk_pmd_range(pud_t *pud, unsigned long addr, unsigned long end, struct mm_walk *walk)
{
	pmd_t *pmd = pmd_offset(pud, addr);
	unsigned long next;
	int err;

	do {
		next = pmd_addr_end(addr, end);
		if (!pmd_trans_huge(*pmd) && pmd_none_or_clear_bad(pmd)) {
			err = walk_hole(addr, next, 3, walk);
			if (err)
				return err;
			continue;
		}
		if (walk->ops->pmd_entry) {
			err = walk->ops->pmd_entry(pmd, addr, next, walk);
			if (err)
				return err;
		}
		if (pmd_trans_huge(*pmd) || !walk->ops->pte_entry)
			continue;
		err = walk_pte_range(pmd, addr, next, walk);
		if (err)
			return err;
	} while (pmd++, addr = next, addr != end);
	return 0;
}

static int walk_pud_range(p4d_t *p4d, unsigned long addr, unsigned long end, struct mm_walk *walk)
{
	pud_t *pud = pud_offset(p4d, addr);
	unsigned long next;
	int err;

	do {
		next = pud_addr_end(addr, end);
		if (!pud_trans_huge(*pud) && pud_none_or_clear_bad(pud)) {
			err = walk_hole(addr, next, 2, walk);
			if (err)
				return err;
			continue;
		}
		if (walk->ops->pud_entry) {
			err = walk->ops->pud_entry(pud, addr, next, walk);
			if (err)
				return err;
		}
		if (pud_trans_huge(*pud))
			continue;
		err = walk_pmd_range(pud, addr, next, walk);
		if (err)
			return err;
	} while (pud++, addr = next, addr != end);
	return 0;
}

static int walk_p4d_range(pgd_t *pgd, unsigned long addr, unsigned long end, struct mm_walk *walk)
{
	p4d_t *p4d = p4d_offset(pgd, addr);
	unsigned long next;
	int err;

	do {
		next = p4d_addr_end(addr, end);
		if (p4d_none_or_clear_bad(p4d)) {
			err = walk_hole(addr, next, 1, walk);
			if (err)
				return err;
			continue;
		}
		err = walk_pud_range(p4d, addr, next, walk);
		if (err)
			return err;
	} while (p4d++, addr = next, addr != end);
	return 0;
}

int walk_page_range(struct mm_struct *mm, unsigned long addr, unsigned long end,
		    const struct mm_walk_ops *ops, void *private)
{
	struct mm_walk walk = { .ops = ops, .mm = mm, .private = private };
	pgd_t *pgd = pgd_offset(mm, addr);
	unsigned long next;
	int err;

	do {
		next = pgd_addr_end(addr, end);
		if (pgd_none_or_clear_bad(pgd)) {
			err = walk_hole(addr, next, 0, &walk);
			if (err)
				return err;
			continue;
		}
		err = walk_p4d_range(pgd, addr, next, &walk);
		if (err)
			return err;
	} while (pgd++, addr = next, addr != end);
	return 0;
}
