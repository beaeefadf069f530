/*
 * Tables of Sv39, Sv48 or Sv57 with pages of all sizes and rights, and what this hart's MMU says
 * to accesses to them. Physical frames of data begin with their own address.
 */
#include "../bare/say.h"

enum { V = 1, R = 2, W = 4, X = 8, U = 16, G = 32, A = 64, D = 128 };
#define N (1ul << 63)
#define PBMT(type) ((u64)(type) << 61)
#define AD (A | D)

enum { SUM = 1 << 18, MXR = 1 << 19 };

#define UART ((volatile u8 *)0x10000000)
#define POOL 0x80400000ul /* tables, then frames of data */
#define HUGE 0x80800000ul /* 2M of frames of data, aligned to 2M */

void access(u64 va, u64 kind, u64 status, struct outcome *outcome);
void rest(void);

const u32 call = 0x00000073; /* ecall */

static u64 next = POOL;
static int levels;
static u64 *root;
static u64 controls; /* SUM and MXR, while an access is made */

void put_char(char c)
{
	while (!(UART[5] & 0x20))
		;
	UART[0] = c;
}

static u64 frame(void)
{
	u64 at = next;
	next += 4096;
	fill((void *)at, 0, 4096);
	return at;
}

static u64 data(void)
{
	u64 at = frame();
	mark(at);
	return at;
}

static u64 pte(u64 address, u64 flags)
{
	return address >> 12 << 10 | flags;
}

/* Return the entry of an address at a level, 0 being that of base pages; tables are made. */
static u64 *entry(u64 va, int level)
{
	u64 *table = root;
	for (int i = levels - 1;; i--) {
		u64 *at = &table[va >> (12 + 9 * i) & 511];
		if (i == level)
			return at;
		if (!*at)
			*at = pte(frame(), V);
		table = (u64 *)(*at >> 10 << 12);
	}
}

void attempt(u64 va, u64 kind, u64 user, struct outcome *outcome)
{
	u64 mode = user ? 0 : 1;
	asm volatile("sfence.vma" ::: "memory");
	access(va, kind, controls | mode << 11, outcome);
}

static void probe(u64 va)
{
	for (int state = 0; state < 4; state++) {
		u64 sum = state & 1, mxr = state >> 1;
		controls = (sum ? SUM : 0) | (mxr ? MXR : 0);
		say_state("sum", sum, "mxr", mxr);
		say_accesses(va);
	}
}

/* Map a base page, and probe it. */
static void page(u64 va, u64 flags)
{
	*entry(va, 0) = pte(data(), flags);
	probe(va);
}

static void base_pages(u64 va)
{
	static const u8 rights[] = { R, R | W, X, R | X, R | W | X, W, W | X };
	for (unsigned n = 0; n < sizeof rights; n++, va += 8192) {
		page(va, V | AD | rights[n]);
		page(va + 4096, V | AD | U | rights[n]);
	}
	page(va += 8192, V | R | W | X);          /* neither accessed nor dirty: this hart sets both */
	page(va += 8192, V | R | W | X | A);      /* not dirty */
	page(va += 8192, V | R | W | AD | G);
	page(va += 8192, R | W | X | AD);         /* not present */
	page(va += 8192, V);                      /* refers to a table, where there is no more level */
	page(va += 8192, V | R | W | AD | 3 << 8); /* bits for software */
	page(va += 8192, V | R | W | AD | PBMT(1));
	page(va += 8192, V | R | W | AD | PBMT(2));
	page(va += 8192, V | R | W | X | AD | N); /* of a size that does not exist */
}

/* Bits that "must be zeroed by software", of which not every MMU complains. */
static void reserved_bits(u64 va)
{
	lenient = 1;
	page(va += 4096, V | R | W | AD | PBMT(3));
	page(va += 4096, V | R | W | AD | 1ul << 54);
	page(va += 4096, V | R | W | AD | 1ul << 60);
	lenient = 0;
}

static void large_pages(u64 va)
{
	for (int i = 1; i < levels; i++) {
		u64 size = 4096ul << (9 * i);
		/* RAM begins at 2G, and larger pages can only begin at 0. */
		u64 begin = HUGE / size * size;
		u64 here = va + i * (size > 1ul << 30 ? 0 : 4 * size);
		if (size > 1ul << 30)
			here = (i == levels - 1 ? 3 : 5) * size;
		*entry(here, i) = pte(begin, V | R | W | X | AD);
		probe(here + (HUGE - begin));
		probe(here + (HUGE - begin) + 0x1ff000);
		here += size;
		*entry(here, i) = pte(begin, V | R | X | U | AD);
		probe(here + (HUGE - begin) + 0x5000);
		here += size;
		*entry(here, i) = pte(begin + 4096, V | R | W | X | AD); /* misaligned */
		probe(here + (HUGE - begin));
		here += size;
		*entry(here, i) = pte(begin, V | R | W | X | AD | N); /* Svnapot has base pages alone */
		probe(here + (HUGE - begin));
	}
}

/* Entries that refer to tables, with bits that such have not. */
static void tables(u64 va)
{
	static const u64 flags[] = { 0, G, A, D, U, N, PBMT(1) };
	*entry(va, 0) = pte(data(), V | R | AD);
	u64 table = *entry(va, 1) & ~0x3fful;
	for (unsigned n = 0; n < sizeof flags / sizeof *flags; n++, va += 1 << 21) {
		*entry(va, 1) = table | V | flags[n];
		probe(va);
	}
}

/* Sixteen entries that make one page of 64K; then some that disagree. */
static void napot(u64 va)
{
	u64 first = HUGE + 0x40000;
	for (int n = 0; n < 16; n++)
		*entry(va + 4096 * n, 0) = pte(first + 0x8000, V | R | W | X | AD | N);
	probe(va);
	probe(va + 0x3000);
	probe(va + 0xf000);
	for (int n = 16; n < 32; n++)
		*entry(va + 4096 * n, 0) = pte(first + 0x18000, V | R | U | AD | N);
	probe(va + 0x10000);
	probe(va + 0x1a000);
	*entry(va + 0x23000, 0) = pte(first + 0x28000, V | R | AD | N);
	probe(va + 0x22000);
	probe(va + 0x23000);
	probe(va + 0x24000);
}

void run(void)
{
	static const char *const modes[] = { "sv39", "sv48", "sv57" };
	u64 mode = chosen < 3 ? chosen : 0;
	levels = 3 + mode;
	root = (u64 *)frame();
	for (u64 at = HUGE; at < HUGE + (1 << 21); at += 4096)
		mark(at);
	/* Page-based memory types, where the hart has them (menvcfg.PBMTE). */
	asm volatile("csrs 0x30a, %0" ::"r"(1ul << 62));
	asm volatile("csrw satp, %0" ::"r"((8 + mode) << 60 | (u64)root >> 12));
	put("format ");
	say(modes[mode]);
	say_value("root", (u64)root);

	*entry(0x80000000, 1) = pte(0x80000000, V | R | X | AD);
	base_pages(0x1234400000);
	large_pages(0x2000000000);
	tables(0x3040000000);
	napot(0x0050000000);
	base_pages(-0x2000000000ul);
	reserved_bits(0x0660000000);
	probe(1ul << (12 + 9 * levels - 1));       /* the addresses' lower half ends before it */
	probe(0x8000000000000000ul);
	probe(0x0076543000);
	asm volatile("csrs mstatus, %0" ::"r"((u64)SUM));
	asm volatile("sfence.vma");
	say("done");
	rest();
}
