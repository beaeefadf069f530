/*
 * A guest that counts what operations cost: instructions executed, exactly, and stack, by painting
 * it.  The tables lie in memory and CR3 never holds them, so that any number of levels can be
 * counted; INVLPG is executed all the same.  BY_NAMES is the header of the way that is counted.
 */
#include <stdint.h>

#include "console.h"
#include "cpu.h"
#include "mm/bits.h"
#include "mm/mm.h"
#include "mm/mmu_gather.h"

#define TABLES_PA    0x2000000ul
#define TABLES_COUNT 0x2000ul
#define START	     (16ul << 30)	/* where is mapped: within reach of three levels */
#define FRAMES	     (64ul << 30)	/* what is mapped there; nobody touches it */
#define PROT	     (_PAGE_PRESENT | _PAGE_RW)
#define NEW_PROT     (_PAGE_USER | _PAGE_RW)
#define PAINT	     0x5a17ed57ac4b10c5ul
#define DEBUG_EXIT   0xf4		/* QEMU's isa-debug-exit */
#define SUCCESS	     0x10		/* 0 would look as if QEMU itself had failed */

unsigned long page_offset_base;	/* physical addresses are pointers here */

static struct mm_struct mm[2];
static uint64_t stack[2048];	/* on which operations run */
static uint64_t overhead;	/* instructions of counted_call itself */
static uint64_t leaves;		/* that a walk has come to */

#include BY_NAMES

/* call.S */
uint64_t counted_call(void *function, const uint64_t arguments[6], void *stack, int64_t *ret);
void call_nothing(void);
void call_loop(void);

void start(uint32_t start_info, uint32_t levels);

void trace(enum trace what, unsigned long value)
{
}

void flush_tlb_one(unsigned long addr)
{
	invlpg(addr);
}

void flush_tlb_all(void)
{
	uint64_t root;

	asm volatile("mov %%cr3, %0" : "=r"(root));
	write_cr3(root);
}

void bug(const char *what)
{
	stop(what);
}

struct cost {
	uint64_t instructions, stack;
	int64_t ret;
};

/* The stack counts from the return address of the call, which is in it. */
static struct cost count_words(void *function, const uint64_t arguments[6])
{
	struct cost cost;
	uint64_t words = ARRAY_SIZE(stack), low = 0;

	for (uint64_t i = 0; i < words; i++)
		stack[i] = PAINT;
	cost.instructions = counted_call(function, arguments, stack + words, &cost.ret) - overhead;
	while (low < words && stack[low] == PAINT)
		low++;
	BUG_ON(!low);
	cost.stack = (words - low) * sizeof(*stack);
	return cost;
}

static struct cost count_arguments(void *function, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
				   uint64_t e, uint64_t f)
{
	return count_words(function, (uint64_t[]){ a, b, c, d, e, f });
}

/* What one of the names in BY_NAMES gives: a function and up to six arguments. */
#define W(x)  ((uint64_t)(x))
#define COUNT_(function, a, b, c, d, e, f, ...) \
	count_arguments(function, W(a), W(b), W(c), W(d), W(e), W(f))
#define COUNT(...) COUNT_(__VA_ARGS__, 0, 0, 0, 0, 0)

/* Leaves of 1 << shift bytes, each stride-th place of that size. */
struct shape {
	const char *name;
	unsigned int count, stride, shift;
	bool part;	/* operations are done on the second 4K only, and split leaves */
};

static const struct shape shapes[] = {
	{ "length", 1, 1, 12 },	   { "length", 8, 1, 12 },    { "length", 64, 1, 12 },
	{ "length", 512, 1, 12 },  { "length", 4096, 1, 12 }, { "length", 32768, 1, 12 },
	{ "density", 512, 1, 12 }, { "density", 512, 8, 12 }, { "density", 512, 64, 12 },
	{ "density", 512, 512, 12 },
	{ "depth", 64, 1, 12 },	   { "depth", 64, 1, 21 },    { "depth", 64, 1, 30 },
	{ "split", 1, 1, 21, true }, { "split", 1, 1, 30, true },
};

static void report(const char *operation, const struct shape *shape, struct cost cost)
{
	say("row %s %s %u %u %u %u %u\n", operation, shape->name, shape->count, shape->stride,
	    shape->shift, (unsigned)cost.instructions, (unsigned)cost.stack);
}

static struct cost remap(unsigned long start, unsigned long end, unsigned int shift)
{
	struct cost cost = COUNT(REMAP(&mm[0], start, end, FRAMES + start, PROT, shift));

	BUG_ON(cost.ret);
	return cost;
}

static struct cost unmap(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mmu_gather tlb;
	struct cost cost;

	tlb_gather_mmu(&tlb, mm);
	cost = COUNT(UNMAP(&tlb, start, end));
	tlb_finish_mmu(&tlb);
	BUG_ON(cost.ret);
	return cost;
}

static struct cost copy(unsigned long start, unsigned long end)
{
	struct mmu_gather tlb;
	struct cost cost;

	tlb_gather_mmu(&tlb, &mm[0]);
	cost = COUNT(COPY(&mm[1], &tlb, start, end));
	tlb_finish_mmu(&tlb);
	BUG_ON(cost.ret);
	return cost;
}

static struct cost protect(unsigned long start, unsigned long end)
{
	struct mmu_gather tlb;
	struct cost cost;

	tlb_gather_mmu(&tlb, &mm[0]);
	cost = COUNT(PROTECT(&tlb, start, end, NEW_PROT));
	tlb_finish_mmu(&tlb);
	BUG_ON(cost.ret <= 0);
	return cost;
}

static struct cost walk(unsigned long start, unsigned long end, unsigned long expected)
{
	struct cost cost;

	leaves = 0;
	cost = COUNT(WALK(&mm[0], start, end));
	BUG_ON(cost.ret || leaves != expected);
	return cost;
}

/* Maps the shape; returns what the last mapping cost. */
static struct cost fill(const struct shape *shape)
{
	unsigned long size = 1UL << shape->shift, at = START;
	struct cost cost;

	if (shape->stride == 1)
		return remap(at, at + shape->count * size, shape->shift);
	for (unsigned int i = 0; i < shape->count; i++, at += shape->stride * size)
		cost = remap(at, at + size, shape->shift);
	return cost;
}

/* Every operation on a shape, from empty tables to empty tables. */
static void count_shape(const struct shape *shape)
{
	unsigned long all = ((unsigned long)shape->count * shape->stride) << shape->shift;
	unsigned long start = shape->part ? START + PAGE_SIZE : START;
	unsigned long end = shape->part ? start + PAGE_SIZE : START + all;
	unsigned long empty = tables_used();
	struct cost cost = fill(shape);

	if (shape->stride == 1 && !shape->part)
		report("remap", shape, cost);
	if (!shape->part) {
		report("walk", shape, walk(start, end, shape->count));
		report("copy", shape, copy(start, end));
		unmap(&mm[1], start, end);
	}
	report("protect", shape, protect(start, end));
	if (shape->part) {
		unmap(&mm[0], START, START + all);
		fill(shape);
		report("copy", shape, copy(start, end));
		unmap(&mm[0], START, START + all);
		unmap(&mm[1], START, START + all);
		fill(shape);
	}
	report("unmap", shape, unmap(&mm[0], start, end));
	unmap(&mm[0], START, START + all);
	BUG_ON(tables_used() != empty);
}

void start(uint32_t start_info, uint32_t levels)
{
	console_init();
	overhead = COUNT(call_nothing, 0, 0).instructions - 1;
	say("loop %u\n", (unsigned)COUNT(call_loop, 0, 0).instructions);
	tables_init(TABLES_PA, TABLES_COUNT);
	for (int i = 0; i < 2; i++)
		mm[i] = (struct mm_struct){ .pgd = table_alloc(), .levels = LEVELS, .active = true };
	for (unsigned int i = 0; i < ARRAY_SIZE(shapes); i++)
		count_shape(&shapes[i]);
	say("done\n");
	outb(DEBUG_EXIT, SUCCESS);
	stop("QEMU did not end");
}
