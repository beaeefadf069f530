#include "pt_ptr.h"

/* Whoever only looks hands in the steps of its own. */
int pt_look(struct mm_struct *mm, const struct pt_op *op, unsigned long addr, unsigned long end,
	    void *private)
{
	struct pt_walk walk = { .op = op, .private = private };

	BUG_ON(!op->reads);
	return pt_walk(&walk, pt_root(mm), addr, end);
}
