#include "../new/pt_ptr.h"
#include "../old/memory.h"

int unmap_page_range(struct mmu_gather *tlb, unsigned long addr, unsigned long end)
{
	return pt_unmap(tlb, addr, end);
}
