#include "../new/pt_ptr.h"
#include "../old/memory.h"

int copy_page_range(struct mm_struct *dst_mm, struct mmu_gather *tlb, unsigned long addr,
		    unsigned long end)
{
	return pt_copy(dst_mm, tlb, addr, end);
}
