/*
 * The new way: a pointer to a table that knows its level, one function that calls itself down the
 * levels, and operations that say what becomes of an entry.
 */
#ifndef NEW_PT_PTR_H
#define NEW_PT_PTR_H

#include "../mm/bits.h"
#include "../mm/mmu_gather.h"

/* A table, never an entry of one.  Level 0 is the leaf end: entries there map single pages. */
struct pt_ptr {
	unsigned long *ptr;
	int lvl;
};

/* What there is to know of a level, a row each, from level 0 upwards (geometry.c). */
struct pt_level {
	unsigned char shift;	/* of the index in an address; an entry maps 1 << shift bytes */
	unsigned char bits;	/* of the index */
	bool leaf;		/* whether entries may map pages */
	unsigned long leaf_bits;	/* which those have set ... */
	unsigned long pat;		/* ... and where they have the memory type */
};

#define PT_MAX_LEVELS 6	/* 64 bits of address hold no more of 9 */

extern const struct pt_level pt_level[];
extern const int pt_levels;

/* An entry, where a walk has come to it: [addr, next) is what it maps of the range. */
struct pt_pos {
	struct pt_ptr table;
	unsigned long addr, next;
};

struct pt_walk;

/* What becomes of an entry: its new value, or the old one.  -ENOMEM and the like: walk->err. */
typedef unsigned long pt_step(struct pt_walk *walk, struct pt_pos pos, unsigned long entry);

/* An operation.  What is absent changes nothing. */
struct pt_op {
	pt_step *none;	/* nothing is mapped; may return a leaf, or a new table to go into */
	pt_step *leaf;	/* something is */
	pt_step *enter;	/* a table, before what is below it ... */
	pt_step *leave;	/* ... and after */
	bool reads;	/* leaves may be partly in range: they need not be split for that */
};

struct pt_walk {
	const struct pt_op *op;
	struct mmu_gather *tlb;
	void *private;
	int err;
};

/* The one function: what is in [addr, end) of this table, and of those below it. */
int pt_walk(struct pt_walk *walk, struct pt_ptr table, unsigned long addr, unsigned long end);

/* The five operations (unmap.c, copy.c, remap.c, protect.c, walk.c). */
int pt_unmap(struct mmu_gather *tlb, unsigned long addr, unsigned long end);
int pt_copy(struct mm_struct *dst, struct mmu_gather *tlb, unsigned long addr, unsigned long end);
int pt_remap(struct mm_struct *mm, unsigned long addr, unsigned long end, unsigned long pa,
	     unsigned long prot, unsigned int max_shift);
long pt_protect(struct mmu_gather *tlb, unsigned long addr, unsigned long end,
		unsigned long prot);
int pt_look(struct mm_struct *mm, const struct pt_op *op, unsigned long addr, unsigned long end,
	    void *private);

static inline struct pt_ptr pt_root(const struct mm_struct *mm)
{
	BUG_ON(mm->levels > pt_levels);
	return (struct pt_ptr){ mm->pgd, mm->levels - 1 };
}

/* The table that an entry of this one leads to. */
static inline struct pt_ptr pt_below(struct pt_ptr table, unsigned long entry)
{
	return (struct pt_ptr){ __va(entry & PTE_PFN_MASK), table.lvl - 1 };
}

static inline unsigned long pt_size(int lvl)
{
	return 1UL << pt_level[lvl].shift;
}

static inline unsigned long *pt_entry(struct pt_ptr table, unsigned long addr)
{
	const struct pt_level *level = &pt_level[table.lvl];

	return table.ptr + ((addr >> level->shift) & ((1UL << level->bits) - 1));
}

static inline bool pt_is_leaf(int lvl, unsigned long entry)
{
	const struct pt_level *level = &pt_level[lvl];
	unsigned long bits = level->leaf_bits;

	return level->leaf && (entry & bits) == bits;
}

static inline bool pt_is_table(int lvl, unsigned long entry)
{
	return (entry & _PAGE_PRESENT) && !pt_is_leaf(lvl, entry);
}

/* Whether all that the entry maps is in range. */
static inline bool pt_whole(struct pt_pos pos)
{
	return pos.next - pos.addr == pt_size(pos.table.lvl);
}

/* A leaf of this level, with what prot says of a page of the smallest size. */
static inline unsigned long pt_make_leaf(int lvl, unsigned long pa, unsigned long prot)
{
	const struct pt_level *level = &pt_level[lvl];

	return pa | level->leaf_bits | (prot & ~_PAGE_PAT) | (prot & _PAGE_PAT ? level->pat : 0);
}

/* A new table as an entry has it, or 0. */
static inline unsigned long pt_make_table(void)
{
	void *table = table_alloc();

	return table ? __pa(table) | _PAGE_TABLE : 0;
}

#endif
