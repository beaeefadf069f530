#include "../new/pt_ptr.h"
#include "../old/memory.h"

long change_protection(struct mmu_gather *tlb, unsigned long addr, unsigned long end,
		       unsigned long newprot)
{
	return pt_protect(tlb, addr, end, newprot);
}
