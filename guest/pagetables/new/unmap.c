#include "pt_ptr.h"

static unsigned long unmap_leaf(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	return 0;
}

/* Tables that are empty then go, too. */
static unsigned long unmap_leave(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	struct pt_ptr below = pt_below(pos.table, entry);

	if (!table_empty(below.ptr))
		return entry;
	tlb_remove_table(walk->tlb, below.ptr, pos.addr);
	return 0;
}

int pt_unmap(struct mmu_gather *tlb, unsigned long addr, unsigned long end)
{
	static const struct pt_op op = { .leaf = unmap_leaf, .leave = unmap_leave };
	struct pt_walk walk = { .op = &op, .tlb = tlb };

	return pt_walk(&walk, pt_root(tlb->mm), addr, end);
}
