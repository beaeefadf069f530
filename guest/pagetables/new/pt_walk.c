#include "pt_ptr.h"

/* Writes an entry.  Only what was a leaf may be in the TLB. */
static void pt_set(struct pt_walk *walk, struct pt_pos pos, unsigned long old, unsigned long new)
{
	*pt_entry(pos.table, pos.addr) = new;
	if (pt_is_leaf(pos.table.lvl, old))
		tlb_remove_tlb_entry(walk->tlb, pos.addr);
}

static unsigned long pt_do(struct pt_walk *walk, pt_step *step, struct pt_pos pos,
			   unsigned long entry)
{
	unsigned long new = step ? step(walk, pos, entry) : entry;

	if (new != entry)
		pt_set(walk, pos, entry, new);
	return new;
}

/*
 * A leaf becomes a table of smaller ones, which say the same, A and D too.  It is taken out and
 * flushed before the table comes in: at no time does the TLB hold pages of two sizes for one
 * address.
 */
static unsigned long pt_split(struct pt_walk *walk, struct pt_pos pos, unsigned long leaf)
{
	const struct pt_level *level = &pt_level[pos.table.lvl];
	unsigned long *slot = pt_entry(pos.table, pos.addr), table = pt_make_table();
	unsigned long pa = leaf & PTE_PFN_MASK & ~(pt_size(pos.table.lvl) - 1);
	unsigned long prot = leaf & ~(pa | level->leaf_bits | level->pat);
	struct pt_ptr below = pt_below(pos.table, table);

	if (!table) {
		walk->err = -ENOMEM;
		return leaf;
	}
	if (leaf & level->pat)
		prot |= _PAGE_PAT;
	for (unsigned long i = 0; i < 1UL << pt_level[below.lvl].bits; i++)
		below.ptr[i] = pt_make_leaf(below.lvl, pa + i * pt_size(below.lvl), prot);
	*slot = 0;
	tlb_flush_now(walk->tlb, pos.addr);
	*slot = table;
	return table;
}

/* The entry there.  What leads nowhere good is reported, cleared, and counts as nothing. */
static unsigned long pt_get(struct pt_pos pos)
{
	unsigned long *slot = pt_entry(pos.table, pos.addr), entry = *slot;

	if (!entry || !pos.table.lvl || pt_is_leaf(pos.table.lvl, entry))
		return entry;
	if ((entry & ~(PTE_PFN_MASK | _PAGE_TABLE)) || !(entry & _PAGE_PRESENT)) {
		trace(TRACE_BAD, entry);
		*slot = 0;
	}
	return *slot;
}

/* The end of the entry that maps addr, or end if that comes first.  An end of 0 is 2^64. */
static unsigned long pt_next(int lvl, unsigned long addr, unsigned long end)
{
	unsigned long boundary = (addr + pt_size(lvl)) & ~(pt_size(lvl) - 1);

	return boundary - 1 < end - 1 ? boundary : end;
}

/*
 * Depth is bounded by the level: each call is for a table one below.  An error ends the walk, and
 * on the way back each table is still left, so that what an operation frees there is freed.
 */
int pt_walk(struct pt_walk *walk, struct pt_ptr table, unsigned long addr, unsigned long end)
{
	const struct pt_op *op = walk->op;
	struct pt_pos pos = { .table = table, .addr = addr };

	do {
		unsigned long entry = pt_get(pos);

		pos.next = pt_next(table.lvl, pos.addr, end);
		if (!entry)
			entry = pt_do(walk, op->none, pos, entry);
		else if (pt_is_leaf(table.lvl, entry) && !pt_whole(pos) && !op->reads)
			entry = pt_split(walk, pos, entry);
		else if (pt_is_leaf(table.lvl, entry))
			pt_do(walk, op->leaf, pos, entry);
		if (pt_is_table(table.lvl, entry)) {
			pt_do(walk, op->enter, pos, entry);
			if (!walk->err)
				pt_walk(walk, pt_below(table, entry), pos.addr, pos.next);
			pt_do(walk, op->leave, pos, entry);
		}
		pos.addr = pos.next;
	} while (!walk->err && pos.addr != end);
	return walk->err;
}
