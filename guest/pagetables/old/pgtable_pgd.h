/* The page global directory: the top table, whatever lies below it. */
#ifndef OLD_PGTABLE_PGD_H
#define OLD_PGTABLE_PGD_H

#if LEVELS == 5
#define PGDIR_SHIFT 48
#elif LEVELS == 4
#define PGDIR_SHIFT 39
#else
#define PGDIR_SHIFT 30
#endif
#define PTRS_PER_PGD 512
#define PGDIR_SIZE   (1UL << PGDIR_SHIFT)

typedef struct {
	unsigned long pgd;
} pgd_t;

#define pgd_val(x) ((x).pgd)

#define pgd_addr_end(addr, end) level_addr_end(addr, end, PGDIR_SIZE)

static inline pgd_t *pgd_offset(struct mm_struct *mm, unsigned long addr)
{
	return (pgd_t *)mm->pgd + level_index(addr, PGDIR_SHIFT, PTRS_PER_PGD);
}

#endif
