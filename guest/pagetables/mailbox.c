/* Callers of the five operations, by their old names: what a kernel around them would do. */
#include "mailbox.h"

#include "mm/bits.h"
#include "old/memory.h"

static struct mm_struct mm[SPACES];

static struct mailbox *mailbox(void)
{
	return __va(MAILBOX_PA);
}

void mailbox_trace(uint64_t what, uint64_t value)
{
	struct mailbox *box = mailbox();

	if (box->events < EVENTS)
		box->event[box->events] = (struct event){ what, value };
	box->events++;
}

void trace(enum trace what, unsigned long value)
{
	mailbox_trace(what, value);
}

static int do_unmap(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mmu_gather tlb;
	int err;

	tlb_gather_mmu(&tlb, mm);
	err = unmap_page_range(&tlb, start, end);
	tlb_finish_mmu(&tlb);
	return err;
}

/* As mmap with MAP_FIXED: what was there goes first. */
static int do_remap(struct mm_struct *mm, const struct command *c)
{
	int err = do_unmap(mm, c->start, c->end);

	if (err)
		return err;
	return remap_pfn_range(mm, c->start, c->pa >> PAGE_SHIFT, c->end - c->start, c->prot,
			       c->max_shift);
}

/* As fork: what the copy has there goes first, and all of it if it was not finished. */
static int do_copy(struct mm_struct *dst, struct mm_struct *src, unsigned long start,
		   unsigned long end)
{
	struct mmu_gather tlb;
	int err = do_unmap(dst, start, end);

	if (err)
		return err;
	tlb_gather_mmu(&tlb, src);
	err = copy_page_range(dst, &tlb, start, end);
	tlb_finish_mmu(&tlb);
	if (err)
		do_unmap(dst, start, end);
	return err;
}

static long do_protect(struct mm_struct *mm, const struct command *c)
{
	struct mmu_gather tlb;
	long pages;

	tlb_gather_mmu(&tlb, mm);
	pages = change_protection(&tlb, c->start, c->end, c->prot);
	tlb_finish_mmu(&tlb);
	return pages;
}

static int visit(unsigned long addr, unsigned long next, unsigned long entry, uint64_t shift)
{
	struct mailbox *box = mailbox();

	if (box->visits == VISITS)
		return -ENOMEM;
	box->visit[box->visits++] = (struct visit){ addr, next, entry, shift };
	return 0;
}

static int visit_pud(pud_t *pud, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	return pud_trans_huge(*pud) ? visit(addr, next, pud_val(*pud), PUD_SHIFT) : 0;
}

static int visit_pmd(pmd_t *pmd, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	return pmd_trans_huge(*pmd) ? visit(addr, next, pmd_val(*pmd), PMD_SHIFT) : 0;
}

static int visit_pte(pte_t *pte, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	return visit(addr, next, pte_val(*pte), pte_none(*pte) ? MAX_DEPTH : PAGE_SHIFT);
}

static int visit_hole(unsigned long addr, unsigned long next, int depth, struct mm_walk *walk)
{
	return visit(addr, next, 0, depth);
}

static int do_walk(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	static const struct mm_walk_ops ops = {
		.pud_entry = visit_pud,
		.pmd_entry = visit_pmd,
		.pte_entry = visit_pte,
		.pte_hole = visit_hole,
	};

	return walk_page_range(mm, start, end, &ops, NULL);
}

static void do_switch(struct mm_struct *to)
{
	for (int i = 0; i < SPACES; i++)
		mm[i].active = mm + i == to;
	load_space(__pa(to->pgd));
}

/* A range of whole pages, not empty; an end of 0 is the end of the address space. */
static bool sound(const struct command *c)
{
	if (c->space >= SPACES)
		return false;
	return c->op > OP_WALK || (!((c->start | c->end) & ~PAGE_MASK) && c->start <= c->end - 1);
}

static struct result run(const struct command *c)
{
	struct mm_struct *space = &mm[c->space];

	if (!sound(c))
		return (struct result){ .ret = -EINVAL };
	switch (c->op) {
	case OP_UNMAP:
		return (struct result){ .ret = do_unmap(space, c->start, c->end) };
	case OP_COPY:
		return (struct result){ .ret = do_copy(&mm[!c->space], space, c->start, c->end) };
	case OP_REMAP:
		return (struct result){ .ret = do_remap(space, c) };
	case OP_PROTECT:
		return (struct result){ .ret = do_protect(space, c) };
	case OP_WALK:
		return (struct result){ .ret = do_walk(space, c->start, c->end) };
	case OP_LIMIT:
		tables_limit(c->start);
		return (struct result){ .ret = 0 };
	case OP_LOAD:
	case OP_STORE:
		return execute(c);
	case OP_SWITCH:
		do_switch(space);
		return (struct result){ .ret = 0 };
	default:
		return (struct result){ .ret = -EINVAL };
	}
}

static void count_flushes(struct result *result)
{
	const struct mailbox *box = mailbox();

	for (uint64_t i = result->first_event; i < box->events && i < EVENTS; i++) {
		result->flushed_one += box->event[i].what == TRACE_FLUSH_ONE;
		result->flushed_all += box->event[i].what == TRACE_FLUSH_ALL;
	}
}

void mailbox_serve(void)
{
	struct mailbox *box = mailbox();

	box->events = box->visits = 0;
	for (uint64_t i = 0; i < box->commands && i < COMMANDS; i++) {
		uint64_t first_event = box->events, first_visit = box->visits;
		struct result result = run(&box->command[i]);

		result.first_event = first_event;
		result.first_visit = first_visit;
		result.tables = tables_used();
		count_flushes(&result);
		box->result[i] = result;
	}
	box->done = box->asked;
}

void mailbox_init(void)
{
	struct mailbox *box = mailbox();

	tables_init(TABLES_PA, TABLES_COUNT);
	for (int i = 0; i < SPACES; i++) {
		mm[i] = (struct mm_struct){ .pgd = table_alloc(), .levels = LEVELS };
		box->root[i] = __pa(mm[i].pgd);
		prepare_space(&mm[i]);
	}
	box->levels = LEVELS;
	box->mixture = mixture;
}
