#include "pt_ptr.h"

/* Where the copy goes: its table at each level, on the path to where the walk is. */
struct copy {
	struct pt_ptr dst[PT_MAX_LEVELS];
};

static unsigned long copy_enter(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	struct copy *copy = walk->private;
	int lvl = pos.table.lvl;
	unsigned long *to = pt_entry(copy->dst[lvl], pos.addr);

	if (!*to)
		*to = pt_make_table();
	if (!*to)
		walk->err = -ENOMEM;
	copy->dst[lvl - 1] = pt_below(copy->dst[lvl], *to);
	return entry;
}

/* Both lose R/W, so that the first write to either faults; the copy has not been accessed yet. */
static unsigned long copy_leaf(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	struct copy *copy = walk->private;
	unsigned long *to = pt_entry(copy->dst[pos.table.lvl], pos.addr);

	BUG_ON(*to);
	entry &= ~_PAGE_RW;
	*to = entry & ~_PAGE_ACCESSED;
	return entry;
}

int pt_copy(struct mm_struct *dst, struct mmu_gather *tlb, unsigned long addr, unsigned long end)
{
	static const struct pt_op op = { .leaf = copy_leaf, .enter = copy_enter };
	struct copy copy;
	struct pt_walk walk = { .op = &op, .tlb = tlb, .private = &copy };
	struct pt_ptr root = pt_root(dst);

	copy.dst[root.lvl] = root;
	return pt_walk(&walk, pt_root(tlb->mm), addr, end);
}
