/* The page upper directory, and what entries of the level above it mean then. */
#ifndef OLD_PGTABLE_PUD_H
#define OLD_PGTABLE_PUD_H

#define PUD_SHIFT    30
#define PTRS_PER_PUD 512

typedef struct {
	unsigned long pud;
} pud_t;

#define pud_val(x) ((x).pud)
#define __pud(x)   ((pud_t){ x })

#define pud_addr_end(addr, end) level_addr_end(addr, end, PUD_SIZE)

static inline bool p4d_none(p4d_t p4d)
{
	return !p4d_val(p4d);
}

static inline bool p4d_bad(p4d_t p4d)
{
	return table_bad(p4d_val(p4d));
}

static inline void p4d_clear(p4d_t *p4d)
{
	p4d_val(*p4d) = 0;
}

static inline void p4d_populate(p4d_t *p4d, pud_t *pud)
{
	p4d_val(*p4d) = __pa(pud) | _PAGE_TABLE;
}

static inline pud_t *p4d_pgtable(p4d_t p4d)
{
	return __va(p4d_val(p4d) & PTE_PFN_MASK);
}

static inline pud_t *pud_offset(p4d_t *p4d, unsigned long addr)
{
	return p4d_pgtable(*p4d) + level_index(addr, PUD_SHIFT, PTRS_PER_PUD);
}

#endif
