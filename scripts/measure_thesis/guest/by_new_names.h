/* The five operations of the new way, and what looks while walking. */
#include "new/pt_ptr.h"

static unsigned long count_leaf(struct pt_walk *walk, struct pt_pos pos, unsigned long entry)
{
	leaves++;
	return entry;
}

static const struct pt_op walk_op = { .leaf = count_leaf, .reads = true };

#define UNMAP(tlb, start, end)	       pt_unmap, (tlb), (start), (end)
#define COPY(to, tlb, start, end)      pt_copy, (to), (tlb), (start), (end)
#define PROTECT(tlb, start, end, prot) pt_protect, (tlb), (start), (end), (prot)
#define WALK(mm, start, end)	       pt_look, (mm), &walk_op, (start), (end), NULL
#define REMAP(mm, start, end, pa, prot, shift) \
	pt_remap, (mm), (start), (end), (pa), (prot), (shift)
