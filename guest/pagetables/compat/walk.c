/* The callers' steps have a name and a type for each level; this is where they get them. */
#include "../new/pt_ptr.h"
#include "../old/memory.h"

enum { PTE, PMD, PUD };

static int walk_entry(struct mm_walk *old, struct pt_pos pos)
{
	const struct mm_walk_ops *ops = old->ops;
	void *entry = pt_entry(pos.table, pos.addr);

	switch (pos.table.lvl) {
	case PTE:
		return ops->pte_entry ? ops->pte_entry(entry, pos.addr, pos.next, old) : 0;
	case PMD:
		return ops->pmd_entry ? ops->pmd_entry(entry, pos.addr, pos.next, old) : 0;
	case PUD:
		return ops->pud_entry ? ops->pud_entry(entry, pos.addr, pos.next, old) : 0;
	default:
		return 0;
	}
}

/* The old depth of a level counts names from the top, whether they are folded or not. */
static int walk_hole(struct mm_walk *old, struct pt_pos pos)
{
	int top = old->mm->levels - 1, lvl = pos.table.lvl;

	if (!old->ops->pte_hole)
		return 0;
	return old->ops->pte_hole(pos.addr, pos.next, lvl == top ? 0 : MAX_DEPTH - lvl, old);
}

static unsigned long compat_entry(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	walk->err = walk_entry(walk->private, pos);
	return entry;
}

static unsigned long compat_none(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	if (pos.table.lvl == PTE)
		return compat_entry(walk, pos, entry);
	walk->err = walk_hole(walk->private, pos);
	return entry;
}

int walk_page_range(struct mm_struct *mm, unsigned long start, unsigned long end,
		    const struct mm_walk_ops *ops, void *private)
{
	static const struct pt_op op = {
		.none = compat_none,
		.leaf = compat_entry,
		.enter = compat_entry,
		.reads = true,
	};
	struct mm_walk walk = { .ops = ops, .mm = mm, .private = private };

	return pt_look(mm, &op, start, end, &walk);
}
