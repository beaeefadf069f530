#include "pt_ptr.h"

struct remap {
	unsigned long offset;	/* from an address to its frame */
	unsigned long prot;
	unsigned int max_shift;
};

/* A leaf as large as alignment and the caller allow, else a table for smaller ones. */
static unsigned long remap_none(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	const struct remap *remap = walk->private;
	const struct pt_level *level = &pt_level[pos.table.lvl];
	unsigned long pa = pos.addr + remap->offset;

	if (level->leaf && level->shift <= remap->max_shift && pt_whole(pos) &&
	    !(pa & (pt_size(pos.table.lvl) - 1)))
		return pt_make_leaf(pos.table.lvl, pa, remap->prot);
	entry = pt_make_table();
	if (!entry)
		walk->err = -ENOMEM;
	return entry;
}

static unsigned long remap_leaf(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	bug("remap of what is mapped");
}

int pt_remap(struct mm_struct *mm, unsigned long addr, unsigned long end, unsigned long pa,
	     unsigned long prot, unsigned int max_shift)
{
	static const struct pt_op op = { .none = remap_none, .leaf = remap_leaf };
	struct remap remap = { .offset = pa - addr, .prot = prot, .max_shift = max_shift };
	struct mmu_gather tlb;
	struct pt_walk walk = { .op = &op, .tlb = &tlb, .private = &remap };

	tlb_gather_mmu(&tlb, mm);
	if (pt_walk(&walk, pt_root(mm), addr, end))
		pt_unmap(&tlb, addr, end);	/* nothing rather than a part */
	tlb_finish_mmu(&tlb);
	return walk.err;
}
