/*
 * A guest: the tables that the operations work on are those that its MMU uses, and what they say
 * is tried by executing accesses.  It is mapped in them itself, by one of the operations.  Boot,
 * traps, console and the accesses are the menu's.
 */
#include "../../menu/console.h"
#include "../../menu/cpu.h"
#include "../../menu/traps.h"
#include "../mailbox.h"
#include "../mm/bits.h"
#include "../old/memory.h"

/* Image, mailbox and the frames for tables, at their physical addresses. */
#define OWN_END (TABLES_PA + TABLES_COUNT * PAGE_SIZE)
#define OWN_PROT (_PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED | _PAGE_DIRTY)
#define OWN_PAGE_SHIFT 21

unsigned long page_offset_base;	/* physical addresses are pointers here */

void start(uint32_t start_info, uint32_t levels);

void flush_tlb_one(unsigned long addr)
{
	invlpg(addr);
	trace(TRACE_FLUSH_ONE, addr);
}

void flush_tlb_all(void)
{
	uint64_t root;

	asm volatile("mov %%cr3, %0" : "=r"(root));
	write_cr3(root);
	trace(TRACE_FLUSH_ALL, 0);
}

void load_space(uint64_t root)
{
	write_cr3(root);
	trace(TRACE_FLUSH_ALL, 0);
}

void bug(const char *what)
{
	stop(what);
}

void prepare_space(struct mm_struct *mm)
{
	BUG_ON(remap_pfn_range(mm, 0, 0, OWN_END, OWN_PROT, OWN_PAGE_SHIFT));
}

/* probe.S: one access in ring 0; whatever traps comes back. */
struct shot {
	uint64_t vector, error, cr2, rax;
};

extern const uint8_t probe_load[], probe_store[];
void probe_run(struct shot *shot, uint64_t va, uint64_t value, uint64_t code, uint64_t back,
	       uint64_t rflags);

struct result execute(const struct command *command)
{
	bool load = command->op == OP_LOAD;
	struct shot shot;

	probe_run(&shot, command->start, command->pa, (uint64_t)(load ? probe_load : probe_store), 0,
		  RFLAGS_ONE);
	if (shot.vector)
		return (struct result){ .ret = shot.vector, .value = shot.error };
	return (struct result){ .value = load ? shot.rax : 0 };
}

static void allow_nx(void)
{
	asm volatile("rdmsr; or %0, %%eax; wrmsr"
		     : : "r"((uint32_t)EFER_NXE), "c"(MSR_EFER) : "eax", "edx");
}

void start(uint32_t start_info, uint32_t levels)
{
	struct mailbox *box = __va(MAILBOX_PA);

	console_init();
	segments_init();
	traps_init();
	if (levels != LEVELS)
		stop("built for another number of levels than the CPU has");
	allow_nx();
	mailbox_init();
	box->magic = MAILBOX_MAGIC;
	say("pagetables: levels=%u\n", levels);
	for (;;) {
		if (box->asked != box->done)
			mailbox_serve();
		asm volatile("pause" : : : "memory");
	}
}
