/*
 * A guest in the modes of 32-bit addresses: it builds tables, asks its own MMU by executed
 * accesses, and says on port 0xe9 what it saw, a line each. Which mode, the command line says.
 */
#include "narrow.h"

#include <stdbool.h>
#include <stddef.h>

#include "cpu.h"

static const struct mode modes[] = {
	{ "32", .wp = 1 },
	{ "pse", .pse = 1, .wp = 1, .smep = 1, .smap = 1 },
	{ "pse-wp0", .pse = 1, .smap = 1 },
	{ "pae", .pae = 1 },
	{ "pae-nx", .pae = 1, .nxe = 1, .wp = 1, .smep = 1, .smap = 1 },
};
const struct mode *mode;

enum operation { READ, STORE, FETCH };

static const struct kind {
	const char *name;
	enum operation operation;
	bool user;
	uint32_t eflags;
} kinds[] = {
	{ "supervisor-read", READ, false, 0x2 },
	{ "supervisor-write", STORE, false, 0x2 },
	{ "supervisor-fetch", FETCH, false, 0x2 },
	{ "supervisor-read-ac", READ, false, 0x40002 },
	{ "supervisor-write-ac", STORE, false, 0x40002 },
	{ "user-read", READ, true, 0x2 },
	{ "user-write", STORE, true, 0x2 },
	{ "user-fetch", FETCH, true, 0x2 },
};

enum { PAGE_FAULT = 14, KINDS = sizeof(kinds) / sizeof(kinds[0]) };
enum { ERROR_P = 1, ERROR_WR = 2, ERROR_US = 4, ERROR_RSVD = 8, ERROR_ID = 16 };

struct answer {
	uint32_t vector, error;
	uint64_t frame;			/* the number of the frame that was reached */
};

static struct one {
	const char *name;
	uint32_t va;
	uint64_t frame;
	unsigned expected;
} cases[32];
static unsigned count, probes, differences, quirks;

struct shot {
	uint32_t vector, error, cr2, eax;
};

extern const uint8_t probe_page[], probe_load[], probe_store[], probe_jump[], probe_return[];
void probe_run(struct shot *shot, uint32_t va, uint32_t value, uint32_t code, uint32_t back,
	       uint32_t eflags);
_Noreturn void park(void);
_Noreturn void start(const uint32_t *start_info);

void *new_table(void)
{
	static uint8_t pool[64][FRAME] __attribute__((aligned(FRAME)));
	static unsigned used;

	if (used == sizeof(pool) / FRAME)
		stop("too many tables");
	return pool[used++];
}

void add_case(const char *name, uint32_t va, uint64_t frame, unsigned expected)
{
	if (count == sizeof(cases) / sizeof(cases[0]))
		stop("too many cases");
	cases[count++] = (struct one){ name, va, frame, expected };
}

/*
 * A frame names itself: mov $number, %eax; jmp *%ebp. Executed, it returns its number; read, its
 * first word holds the number above the opcode.
 */
static void paint(void *at, uint64_t pa)
{
	uint32_t number = pa >> 12;
	volatile uint32_t *word = at;

	word[0] = 0xb8 | number << 8;
	word[1] = number >> 24 | 0x90e5ff << 8;
}

static uint64_t named(uint32_t word)
{
	return (word & 0xff) == 0xb8 ? word >> 8 : 0;
}

/* SDM vol. 3A 4.6 and 4.7. */
static struct answer judge(const struct one *one, const struct kind *kind)
{
	bool fetch = kind->operation == FETCH, write = kind->operation == STORE;
	uint32_t error = (write ? ERROR_WR : 0) | (kind->user ? ERROR_US : 0) |
			 (fetch && (mode->smep || (mode->pae && mode->nxe)) ? ERROR_ID : 0);
	unsigned is = one->expected;
	bool denied;

	if (is & ABSENT)
		return (struct answer){ PAGE_FAULT, error, 0 };
	if (is & RESERVED)
		return (struct answer){ PAGE_FAULT, error | ERROR_P | ERROR_RSVD, 0 };
	if (kind->user)
		denied = !(is & USER);
	else if (fetch)
		denied = mode->smep && is & USER;
	else
		denied = mode->smap && is & USER && !(kind->eflags & 0x40000);
	denied |= fetch && !(is & EXEC);
	denied |= write && !(is & WRITE) && (kind->user || mode->wp);
	if (denied)
		return (struct answer){ PAGE_FAULT, error | ERROR_P, 0 };
	return (struct answer){ 0, 0, one->frame >> 12 };
}

static struct shot run(const struct one *one, const struct kind *kind, uint32_t value)
{
	static const uint8_t *const codes[] = { probe_load, probe_store, probe_jump };
	uint32_t code = (uint32_t)codes[kind->operation];
	uint32_t back = kind->user ? USER_CODE + (probe_return - probe_page) : 0;
	struct shot shot;

	invlpg(one->va);
	if (kind->user)
		code = USER_CODE + (code - (uint32_t)probe_page);
	probe_run(&shot, one->va, value, code, back, kind->eflags);
	return shot;
}

/*
 * A write is proven by what is read back at the address, and by where it stands in the identity
 * mapping; then the frame gets its name back, by a write that nothing forbids.
 */
static uint64_t written(const struct one *one, uint32_t token, uint32_t before)
{
	uint64_t found = 0;

	for (uint32_t pa = DATA; pa < IDENTITY_END; pa += FRAME)
		if (*(volatile uint32_t *)pa == token)
			found = pa >> 12;
	if (one->frame >= IDENTITY_END && run(one, &kinds[3], 0).eax == token)
		found = one->frame >> 12;	/* not mapped elsewhere: what is read must do */
	set_wp(0);
	run(one, &kinds[4], before);
	set_wp(mode->wp);
	return found;
}

static struct answer observe(const struct one *one, const struct kind *kind)
{
	static uint32_t token = 0x70740000;
	uint32_t before = run(one, &kinds[3], 0).eax;
	struct shot shot = run(one, kind, ++token);

	if (shot.vector == PAGE_FAULT && shot.cr2 != one->va)
		stop("a page fault at another address");
	if (shot.vector)
		return (struct answer){ shot.vector, shot.error, 0 };
	switch (kind->operation) {
	case READ:
		return (struct answer){ 0, 0, named(shot.eax) };
	case FETCH:
		return (struct answer){ 0, 0, shot.eax };
	default:
		return (struct answer){ 0, 0, written(one, token, before) };
	}
}

static void probe(const struct one *one, const struct kind *kind)
{
	struct answer want = judge(one, kind), saw = observe(one, kind);

	probes++;
	say("probe %s %x %s %x %x %q\n", one->name, one->va, kind->name, saw.vector, saw.error,
	    saw.frame);
	if (want.vector == saw.vector && want.error == saw.error && want.frame == saw.frame)
		return;
	/* TCG leaves P out of the error code of a reserved-bit fault. */
	if (want.error & ERROR_RSVD && saw.error == (want.error & ~(uint32_t)ERROR_P)) {
		quirks++;
		return;
	}
	differences++;
	say("differs: %s %s: expected %x %x %q\n", one->name, kind->name, want.vector, want.error,
	    want.frame);
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* Of the command line, "mode=NAME"; start_info is Xen's hvm_start_info. */
static void choose(const uint32_t *start_info)
{
	const char *line = (const char *)start_info[6];

	for (unsigned n = 0; n < sizeof(modes) / sizeof(modes[0]); n++)
		if (line && same(line, modes[n].name))
			mode = &modes[n];
	if (!mode)
		stop("the command line names no mode");
}

_Noreturn void start(const uint32_t *start_info)
{
	uint32_t cr3, cr4, high = HIGH_WINDOW + 5 * FRAME;

	cpu_init();
	choose(start_info);
	for (uint32_t pa = DATA; pa < IDENTITY_END; pa += FRAME)
		paint((void *)pa, pa);
	paging_on(tables_to_paint(), CR4_PAE, 0, 1);
	paint((void *)high, HIGH + 5 * FRAME);
	paging_off();

	cr3 = mode->pae ? tables_pae((uint32_t)probe_page) : tables_32((uint32_t)probe_page);
	cr4 = (mode->pae ? CR4_PAE : 0) | (mode->pse ? CR4_PSE : 0) |
	      (mode->smep ? CR4_SMEP : 0) | (mode->smap ? CR4_SMAP : 0);
	paging_on(cr3, cr4, mode->nxe, mode->wp);
	for (unsigned n = 0; n < count; n++)
		for (unsigned k = 0; k < KINDS; k++)
			probe(&cases[n], &kinds[k]);
	say("narrow: mode=%s cr3=%x probes=%x differences=%x quirks=%x\n", mode->name, cr3, probes,
	    differences, quirks);
	park();
}
