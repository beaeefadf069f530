/*
 * Tables of all granules with pages of all sizes and rights, and what this CPU's MMU says to
 * accesses to them. Physical frames of data begin with their own address.
 */
#include "../bare/say.h"

#define BIT(n) (1ul << (n))
enum { VALID = 1, BLOCK = 1, PAGE = 3 };
#define AP1 BIT(6) /* EL0 may */
#define AP2 BIT(7) /* read-only */
#define AF BIT(10)
#define NG BIT(11)
#define DBM BIT(51)
#define CONTIGUOUS BIT(52)
#define PXN BIT(53)
#define UXN BIT(54)
#define DEVICE BIT(2) /* the second of MAIR_EL1 */

#define UART ((volatile u32 *)0x09000000)
#define RAM 0x40000000ul
#define POOL 0x40400000ul     /* tables, then frames of data */
#define POOL_END 0x42000000ul
#define HUGE 0x46000000ul     /* 2M of frames of data */

/* What TCR_EL1 says of a half, and what the architecture calls its sizes. */
struct shape {
	const char *name;
	int page_shift;  /* of the granule */
	int va_bits[2];  /* of the lower and of the upper half */
	int wide;        /* descriptors hold addresses of 52 bits */
	int hardware;    /* the CPU sets AF, and clears AP[2] of what has DBM */
	int hpd;         /* what tables forbid does not count */
	int e0pd;        /* EL0 is kept from the upper half */
	u8 contiguous[4]; /* log2 of how many, by level */
	u8 blocks;       /* a bit for each level that has them */
};

static const struct shape shapes[] = {
	{ "aarch64-4k-48", 12, { 48, 48 }, 0, 0, 0, 0, { 0, 4, 4, 4 }, 6 },
	{ "aarch64-4k-39", 12, { 39, 39 }, 0, 1, 0, 1, { 0, 4, 4, 4 }, 6 },
	{ "aarch64-16k-47", 14, { 47, 47 }, 0, 0, 0, 0, { 0, 0, 5, 7 }, 4 },
	{ "aarch64-16k-48", 14, { 48, 48 }, 0, 0, 1, 0, { 0, 0, 5, 7 }, 4 },
	{ "aarch64-64k-48", 16, { 48, 48 }, 0, 0, 0, 0, { 0, 0, 5, 5 }, 4 },
	{ "aarch64-64k-42", 16, { 42, 42 }, 0, 1, 0, 0, { 0, 0, 5, 5 }, 4 },
	{ "aarch64-4k-52-lpa2", 12, { 52, 52 }, 1, 0, 0, 0, { 0, 4, 4, 4 }, 7 },
	{ "aarch64-16k-52-lpa2", 14, { 52, 52 }, 1, 0, 0, 0, { 0, 0, 5, 7 }, 6 },
	{ "aarch64-64k-52", 16, { 52, 52 }, 1, 0, 0, 0, { 0, 0, 5, 5 }, 6 },
	{ "aarch64-4k-48-lower", 12, { 48, 39 }, 0, 0, 0, 0, { 0, 4, 4, 4 }, 6 },
};

void access(u64 va, u64 kind, u64 user, struct outcome *outcome);

extern u8 text_begin[], user_begin[], data_begin[];

const u32 call = 0xd4000001; /* svc #0 */

static const struct shape *shape;
static u64 next = POOL;
static u64 *roots[2];
static u64 pan; /* PSTATE.PAN, while an access is made */

void put_char(char c)
{
	while (UART[6] & BIT(5))
		;
	UART[0] = c;
}

static void flush(void)
{
	asm volatile("dsb ish; tlbi vmalle1; dsb ish; isb" ::: "memory");
}

static u64 page_size(void)
{
	return BIT(shape->page_shift);
}

static u64 pages(void)
{
	u64 at = (next + page_size() - 1) & -page_size();
	next = at + page_size();
	if (next > POOL_END)
		say("no room");
	fill((void *)at, 0, page_size());
	return at;
}

static u64 data(void)
{
	u64 at = pages();
	for (u64 inside = 0; inside < page_size(); inside += 4096)
		mark(at + inside);
	return at;
}

/* The address in a descriptor: with 52 bits, its highest stand below. */
static u64 address(u64 at)
{
	if (!shape->wide)
		return at;
	if (shape->page_shift == 16)
		return (at & (BIT(48) - 1)) | (at >> 48 & 15) << 12;
	return (at & (BIT(50) - 1)) | (at >> 50 & 3) << 8;
}

static int shift_of(int level)
{
	return shape->page_shift + (shape->page_shift - 3) * (3 - level);
}

static int va_bits(u64 va)
{
	return shape->va_bits[va >> 63];
}

static int first_level(int bits)
{
	int stride = shape->page_shift - 3;
	return 4 - (bits - shape->page_shift + stride - 1) / stride;
}

/* Return the entry of an address at a level; tables are made. */
static u64 *entry(u64 va, int level)
{
	u64 *table = roots[va >> 63];
	int bits = va_bits(va);
	u64 inside = va & (BIT(bits) - 1);
	for (int i = first_level(bits);; i++) {
		u64 index = inside >> shift_of(i);
		if (i != first_level(bits))
			index &= BIT(shape->page_shift - 3) - 1;
		if (i == level)
			return &table[index];
		if (!table[index])
			table[index] = address(pages()) | PAGE;
		table = (u64 *)(table[index] & (BIT(48) - 1) & -page_size());
	}
}

static void set_wxn(u64 on)
{
	u64 control;
	asm volatile("mrs %0, sctlr_el1" : "=r"(control));
	control = (control & ~BIT(19)) | on << 19;
	asm volatile("msr sctlr_el1, %0; isb" ::"r"(control));
}

static void set_pan(u64 on)
{
	asm volatile("msr s3_0_c4_c2_3, %0" ::"r"(on << 22) : "memory");
}

void attempt(u64 va, u64 kind, u64 user, struct outcome *outcome)
{
	flush();
	set_pan(pan);
	access(va, kind, user, outcome);
	set_pan(0);
}

static void probe(u64 va)
{
	for (int state = 0; state < 4; state++) {
		u64 wxn = state >> 1;
		pan = state & 1;
		say_state("pan", pan, "wxn", wxn);
		set_wxn(wxn);
		say_accesses(va);
		set_wxn(0);
	}
}

static void page(u64 va, u64 flags)
{
	*entry(va, 3) = address(data()) | flags;
	probe(va);
}

static void base_pages(u64 va)
{
	u64 step = page_size();
	for (int ap = 0; ap < 4; ap++)
		for (int xn = 0; xn < 4; xn++, va += step)
			page(va, PAGE | AF | (u64)ap << 6 | (u64)xn << 53);
	page(va += step, PAGE | AP1);              /* never accessed */
	page(va += step, PAGE | AP1 | AP2);
	page(va += step, AF | AP1);                /* not valid */
	page(va += step, PAGE - 1 + (AF | AP1));   /* not valid: bit 1 alone */
	page(va += step, BLOCK | AF | AP1);        /* where there are only pages */
	page(va += step, PAGE | AF | AP1 | NG);
	page(va += step, PAGE | AF | AP2 | DBM);
	page(va += step, PAGE | AF | AP1 | AP2 | DBM | UXN);
	probe(va + step);                          /* nothing */
	if (!shape->wide) {
		/* An address of more bits than TCR_EL1.IPS has. */
		*entry(va += 2 * step, 3) = BIT(40) | PAGE | AF;
		probe(va);
		*entry(va += step, 3) = BIT(47) | PAGE | AF;
		probe(va);
	}
}

/* Blocks, and contiguous ones: each maps HUGE somewhere in it. */
static void large_pages(void)
{
	/* At level -1 there are none, and QEMU 7.2 ends where one has it fault there. */
	int first = first_level(va_bits(0));
	for (int level = first < 0 ? 0 : first; level <= 3; level++) {
		u64 unit = BIT(shift_of(level));
		int allowed = level == 3 || (shape->blocks >> level & 1);
		u64 kind = level == 3 ? PAGE : BLOCK;
		u64 begin = HUGE / unit * unit;
		u64 va = level == 3 ? 0x1200000000ul : 5 * unit;
		if (level < 3 && shift_of(level) < 32)
			va = 0x1400000000ul + 4 * unit;
		if ((va + 2 * unit) >> va_bits(0))
			continue;
		lenient = !allowed;
		if (level < 3) {
			*entry(va, level) = address(begin) | kind | AF | AP1;
			probe(va + (HUGE - begin));
			probe(va + (HUGE - begin) + 0x1ff000);
			*entry(va + unit, level) = address(begin) | kind | AF | AP2 | PXN | UXN;
			probe(va + unit + (HUGE - begin));
		}
		lenient = 0;
		int bits = shape->contiguous[level];
		if (!bits || !allowed)
			continue;
		u64 size = unit << bits, from = HUGE / size * size;
		/* The group begins where its size has it begin. */
		u64 group = (va + 2 * size) / size * size;
		if (group + size > BIT(va_bits(0)))
			continue;
		for (u64 n = 0; n < BIT(bits); n++)
			*entry(group + n * unit, level) =
				address(from + n * unit) | kind | AF | AP1 | UXN | CONTIGUOUS;
		probe(group + (HUGE - from));
		probe(group + (HUGE - from) + 0x7000);
		probe(group + (HUGE - from) + 0x10000);
	}
}

/* What tables forbid to all that is below them. */
static void hierarchy(u64 va)
{
	u64 span = BIT(shift_of(2));
	for (u64 flags = 0; flags < 16; flags++, va += span) {
		*entry(va, 3) = address(data()) | PAGE | AF | AP1;
		*entry(va + page_size(), 3) = address(data()) | PAGE | AF | AP2;
		*entry(va, 2) |= flags << 59;
		probe(va);
		probe(va + page_size());
	}
}

static void map_ourselves(void)
{
	for (u64 at = RAM; at < HUGE + BIT(21); at += page_size()) {
		u64 flags = PAGE | AF | PXN | UXN;
		if (at >= (u64)text_begin && at < (u64)user_begin)
			flags = PAGE | AF | AP2 | UXN;
		if (at >= (u64)user_begin && at < (u64)data_begin)
			flags = PAGE | AF | AP1 | AP2 | PXN;
		*entry(at, 3) = address(at) | flags;
		if (at + page_size() == POOL_END)
			at = HUGE - page_size();
	}
	*entry((u64)UART, 3) = address((u64)UART) | PAGE | AF | PXN | UXN | DEVICE;
}

static void enable(void)
{
	static const u8 granules[2][5] = { { 0, 0, 2, 0, 1 }, { 2, 2, 1, 1, 3 } };
	int shift = shape->page_shift - 12;
	u64 tcr = (64ul - shape->va_bits[0]) | (64ul - shape->va_bits[1]) << 16;
	tcr |= (u64)granules[0][shift] << 14 | (u64)granules[1][shift] << 30;
	tcr |= (shape->wide ? 6ul : 2ul) << 32;  /* IPS: 52 or 40 bits */
	tcr |= shape->wide && shape->page_shift < 16 ? BIT(59) : 0;
	tcr |= shape->hardware ? BIT(39) | BIT(40) : 0;
	tcr |= shape->hpd ? BIT(41) | BIT(42) : 0;
	tcr |= shape->e0pd ? BIT(56) : 0;
	asm volatile("msr mair_el1, %0" ::"r"(0x00fful));
	asm volatile("msr tcr_el1, %0" ::"r"(tcr));
	asm volatile("msr ttbr0_el1, %0" ::"r"(roots[0]));
	asm volatile("msr ttbr1_el1, %0" ::"r"((u64)roots[1] | 7ul << 48)); /* an ASID */
	u64 control;
	asm volatile("mrs %0, sctlr_el1" : "=r"(control));
	control |= BIT(0) | BIT(23); /* M; SPAN: exceptions leave PSTATE.PAN alone */
	flush();
	asm volatile("msr sctlr_el1, %0; isb" ::"r"(control));
}

void run(void)
{
	shape = &shapes[chosen < sizeof shapes / sizeof *shapes ? chosen : 0];
	roots[0] = (u64 *)pages();
	roots[1] = (u64 *)pages();
	for (u64 at = HUGE; at < HUGE + BIT(21); at += 4096)
		mark(at);
	map_ourselves();
	enable();
	put("format ");
	say(shape->name);
	say_value("root0", (u64)roots[0]);
	say_value("root1", (u64)roots[1]);

	base_pages(0x0800000000ul);
	large_pages();
	hierarchy(0x2000000000ul);
	if (shape->va_bits[0] == shape->va_bits[1])
		base_pages(-0x2000000000ul);
	probe(0x0876500000);
	if (shape->va_bits[0] < 52)
		probe(BIT(shape->va_bits[0]));
	probe(0x7fff000000000000ul);
	flush();
	say("done");
}
