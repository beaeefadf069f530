/* No page upper directory: it is folded into the level above, which is folded itself. */
#ifndef OLD_PGTABLE_NOPUD_H
#define OLD_PGTABLE_NOPUD_H

#define PUD_FOLDED   1
#define PUD_SHIFT    P4D_SHIFT
#define PTRS_PER_PUD 1

typedef struct {
	p4d_t p4d;
} pud_t;

#define pud_val(x) p4d_val((x).p4d)
#define __pud(x)   ((pud_t){ { { x } } })

#define pud_addr_end(addr, end) (end)

static inline bool p4d_none(p4d_t p4d)
{
	return false;
}

static inline bool p4d_bad(p4d_t p4d)
{
	return false;
}

static inline void p4d_clear(p4d_t *p4d)
{
}

#define p4d_populate(p4d, pud)	   do { } while (0)
#define pud_alloc_one()		   NULL
#define free_pud_table(tlb, p4d, addr) do { } while (0)

static inline pud_t *pud_offset(p4d_t *p4d, unsigned long addr)
{
	return (pud_t *)p4d;
}

#endif
