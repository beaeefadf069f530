#include "pt_ptr.h"

struct protect {
	unsigned long prot;
	long pages;	/* how many were changed */
};

static unsigned long protect_leaf(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	struct protect *protect = walk->private;
	unsigned long new = (entry & ~_PAGE_PROT_MASK) | protect->prot;

	if (new != entry)
		protect->pages += pt_size(pos.table.lvl) / PAGE_SIZE;
	return new;
}

long pt_protect(struct mmu_gather *tlb, unsigned long addr, unsigned long end,
		unsigned long prot)
{
	static const struct pt_op op = { .leaf = protect_leaf };
	struct protect protect = { .prot = prot };
	struct pt_walk walk = { .op = &op, .tlb = tlb, .private = &protect };
	int err = pt_walk(&walk, pt_root(tlb->mm), addr, end);

	return err ? err : protect.pages;
}
