#include "../new/pt_ptr.h"
#include "../old/memory.h"

int remap_pfn_range(struct mm_struct *mm, unsigned long addr, unsigned long pfn,
		    unsigned long size, unsigned long prot, unsigned int max_page_shift)
{
	return pt_remap(mm, addr, addr + size, pfn << PAGE_SHIFT, prot, max_page_shift);
}
