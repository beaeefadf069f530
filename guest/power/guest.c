/*
 * Radix trees with pages of all sizes and rights, and what this thread's MMU says to accesses to
 * them. Physical frames of data begin with their own address.
 */
#include "../bare/say.h"

#define BIT(n) (1ul << (63 - (n))) /* as the manual counts */
#define V BIT(0)
#define L BIT(1)
#define R 0x100
#define C 0x80
#define IO 0x20 /* non-idempotent */
enum { X = 1, RW = 2, RO = 4, PRIV = 8 };

#define UART ((volatile u8 *)0x00060300d00103f8ul)
#define POOL 0x2000000ul /* tables, then frames of data; QEMU's device tree is before */
#define HUGE 0x6000000ul /* 2M of frames of data */
#define STUB 0x10000000ul
#define KERNEL 0xc000000000000000ul
#define PID 5

void access(u64 va, u64 kind, u64 user, struct outcome *outcome);
extern u8 in_user[];

const u32 call = 0x44000002; /* sc */

static u64 next = POOL;
static u64 *roots[2]; /* of the process, and of PID 0 */

void put_char(char c)
{
	while (!(UART[5] & 0x20))
		;
	UART[0] = c;
}

static u64 room(u64 size)
{
	u64 at = (next + size - 1) & -size;
	next = at + size;
	fill((void *)at, 0, size);
	return at;
}

static u64 data(u64 size)
{
	u64 at = room(size);
	for (u64 inside = 0; inside < size; inside += 4096)
		mark(at + inside);
	return at;
}

/*
 * Return the entry of an address at a level, 0 being the root's; tables are made. last: log2 of
 * the entries of the last table, 9 or 5: so its pages have 4K or 64K.
 */
static u64 *entry(u64 va, int level, u64 last)
{
	u64 *table = roots[va >> 63];
	u64 shift = 52, bits = 13;
	for (int i = 0;; i++) {
		shift -= bits;
		u64 *at = &table[(va & (BIT(11) - 1)) >> shift & ((1ul << bits) - 1)];
		if (i == level)
			return at;
		bits = i == 2 ? last : 9;
		if (!*at)
			*at = V | room(8ul << bits) | bits;
		bits = *at & 31;
		table = (u64 *)(*at & (BIT(3) - 1) & -256ul);
	}
}

static void flush(void)
{
	/* All translations of this thread: RIC=2, PRS=1, R=1, IS=3; then PIDR, as it was. */
	asm volatile("ptesync; tlbiel %0,%1,2,1,1; ptesync" ::"r"(0xc00ul), "r"(0ul) : "memory");
	asm volatile("mtspr 48, %0; isync" ::"r"((u64)PID) : "memory");
}

static void set_keys(u64 amr, u64 iamr)
{
	asm volatile("mtspr 29, %0; mtspr 61, %1; isync" ::"r"(amr), "r"(iamr) : "memory");
}

void attempt(u64 va, u64 kind, u64 user, struct outcome *outcome)
{
	flush();
	access(va, kind, user, outcome);
}

static void probe(u64 va)
{
	for (int state = 0; state < 4; state++) {
		/* The first key: neither reads nor writes; no execution. */
		u64 amr = state & 1 ? BIT(0) | BIT(1) : 0, iamr = state & 2 ? BIT(1) : 0;
		say_state("amr", amr, "iamr", iamr);
		set_keys(amr, iamr);
		say_accesses(va);
		set_keys(0, 0);
	}
}

static void base_pages(u64 va, u64 last)
{
	u64 size = last == 9 ? 4096 : 65536;
	for (u64 eaa = 0; eaa < 16; eaa++, va += size) {
		*entry(va, 3, last) = V | L | data(size) | R | C | eaa;
		probe(va);
	}
	static const u64 flags[] = {
		V | L | RW | X,             /* neither referenced nor changed: the MMU sets both */
		V | L | R | RW,
		L | R | C | RW,             /* not valid */
		V | L | R | C | IO | RW | X,
		V | L | R | C | IO | PRIV | RW | X,
		V | L | R | C | BIT(2) | 0xe00 | RW,/* bits that software may use */
		V | 5,                      /* refers to a table, where there is no more level */
	};
	for (unsigned n = 0; n < sizeof flags / sizeof *flags; n++, va += size) {
		*entry(va, 3, last) = data(size) | flags[n];
		probe(va);
	}
	probe(va + size);
}

static void large_pages(u64 va)
{
	for (int level = 2; level >= 0; level--) {
		u64 size = 1ul << (39 - 9 * level);
		u64 begin = HUGE / size * size;
		/* Pages of 512G are none that POWER9 has. */
		lenient = level == 0;
		u64 here = level == 0 ? (va & KERNEL) + 16 * size : va + 4 * size;
		*entry(here, level, 9) = V | L | begin | R | C | RW | X;
		probe(here + (HUGE - begin));
		probe(here + (HUGE - begin) + 0x1ff000);
		here += size;
		*entry(here, level, 9) = V | L | begin | R | C | PRIV | RO;
		probe(here + (HUGE - begin) + 0x5000);
		lenient = 0;
	}
}

/* Directory entries whose next table has a size that none has. */
static void sizes(u64 va)
{
	static const u64 wrong[] = { 0, 4, 6, 8, 10, 13, 31 };
	u64 *table = (u64 *)room(65536);
	u64 page = V | L | data(4096) | R | C | RW | X;
	fill(table, page, 65536);
	for (int level = 0; level < 3; level++) {
		u64 size = 1ul << (39 - 9 * level), here = va + size * (level == 0 ? 32 : 8);
		for (unsigned n = 0; n < sizeof wrong / sizeof *wrong; n++, here += size) {
			*entry(here, level, 9) = V | (u64)table | wrong[n];
			probe(here);
		}
		if (level < 2) {
			*entry(here, level, 9) = V | (u64)table | 5;
			probe(here);
		}
	}
}

static void enable(void)
{
	/* One partition, number 0; in its table of processes, PID 0 and another. */
	u64 *processes = (u64 *)room(4096), *partitions = (u64 *)room(65536);
	u64 rts = (u64)2 << 61 | 5 << 5; /* 31 + 21 bits */
	processes[0] = (u64)roots[1] | rts | 13;
	processes[2 * PID] = (u64)roots[0] | rts | 13;
	/* Where the processes' table is, the partition's tree says: here, 3G above where it is. */
	u64 *above = (u64 *)room(65536), *below = (u64 *)room(4096);
	above[0] = V | (u64)below | 9;
	below[3] = V | L | R | C | RW;
	partitions[0] = V | (u64)above | rts | 13; /* HR: radix trees */
	partitions[1] = V | ((3ul << 30) + (u64)processes);
	asm volatile("mtspr 464, %0" ::"r"((u64)partitions | 4)); /* PTCR: 64K of them */
	asm volatile("mtspr 319, %0" ::"r"(0ul));                  /* LPIDR */
	u64 control;
	asm volatile("mfspr %0, 318" : "=r"(control));
	control |= BIT(43) | BIT(41) | BIT(54); /* HR, UPRT, GTSE */
	asm volatile("mtspr 318, %0; isync" ::"r"(control));
	flush();
}

void run(void)
{
	roots[0] = (u64 *)room(65536);
	roots[1] = (u64 *)room(65536);
	for (u64 at = HUGE; at < HUGE + (1 << 21); at += 4096)
		mark(at);
	*entry(STUB, 3, 5) = V | L | (u64)in_user | R | RO | X;
	enable();
	say("format power-radix");
	say_value("root0", (u64)roots[0]);
	say_value("root1", (u64)roots[1]);

	base_pages(0x0800000000ul, 9);
	base_pages(0x0900200000ul, 5);
	base_pages(KERNEL | 0x0a00000000ul, 9);
	base_pages(KERNEL | 0x0b00400000ul, 5);
	large_pages(0x4000000000ul);
	large_pages(KERNEL | 0x4000000000ul);
	sizes(0x5000000000ul);
	probe(0x0876500000ul);
	probe(BIT(11));                  /* EA bits 2:11 are not zero */
	probe(KERNEL | 0x0030000000000000ul);
	set_keys(BIT(0) | BIT(1), BIT(1));
	flush();
	say("done");
}
