/*
 * A hypervisor with nested paging, and nothing more: its nested guest touches one guest-physical
 * address at a time, and #VMEXIT says what became of it. On port 0xe9, a line each.
 *
 * The nested guest is in 64-bit mode and maps its addresses to themselves, so that a linear
 * address is the guest-physical one. The hypervisor has as many levels as the CPU, and so have
 * its nested tables (AMD64 Architecture Programmer's Manual, vol. 2, 15.25.3).
 */
#include <stdbool.h>
#include <stdint.h>

#include "../menu/console.h"
#include "../menu/traps.h"
#include "vmcb.h"

enum { P = 1, RW = 2, US = 4, PS = 1 << 7, FRAME = 4096 };
#define XD  (1ull << 63)
#define PWU (P | RW | US)
enum { MSR_EFER = 0xc0000080, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11,
       EFER_SVME = 1 << 12, MSR_VM_HSAVE_PA = 0xc0010117 };

/* Frames that name themselves, and of those a 2M page. */
enum { DATA = 0x800000, LARGE = 0xa00000, PAINTED_END = 0xc00000, SIZE_2M = 0x200000 };
#define GIGA   (1ull << 30)
#define REGION (GIGA)		/* cases: a 2M region each, from here */
#define SLOT   (512 * GIGA)	/* what an entry of level 4 spans */

/* What is expected, written by hand beside the entries. */
enum { WRITE = 1, EXEC = 2, ALL = 3, ABSENT = 4, RESERVED = 8, DENIED = 16 };

static struct vmcb vmcb;
static uint8_t host_save[FRAME] __attribute__((aligned(FRAME)));
static uint64_t *nested_root;
static int levels;
static unsigned probes, differences, quirks;

extern const uint8_t nested_load[], nested_store[], nested_jump[];
void vmrun(struct vmcb *vmcb, uint64_t rdi, uint64_t rsi);
_Noreturn void park(void);
_Noreturn void start(void *start_info, int with_levels);

static uint64_t *new_table(void)
{
	static uint8_t pool[96][FRAME] __attribute__((aligned(FRAME)));
	static unsigned used;

	if (used == sizeof(pool) / FRAME)
		stop("too many tables");
	return (uint64_t *)pool[used++];
}

/* mov $pa, %rax; vmmcall: executed it returns its address; read, its first word has it above 16. */
static void paint(uint64_t pa)
{
	volatile uint64_t *word = (uint64_t *)pa;

	word[0] = 0xb848 | pa << 16;
	word[1] = 0xd9010f0000;
}

static uint64_t named(uint64_t word)
{
	return (word & 0xffff) == 0xb848 ? word >> 16 : 0;
}

/* The entry of a level that translates an address; tables above it are made, all granting. */
static uint64_t *entry(uint64_t *root, uint64_t gpa, int level)
{
	uint64_t *table = root;

	for (int lvl = levels;; lvl--) {
		uint64_t *at = &table[gpa >> (12 + 9 * (lvl - 1)) & 511];

		if (lvl == level)
			return at;
		if (!*at)
			*at = (uint64_t)new_table() | PWU;
		table = (uint64_t *)(*at & 0xfffffffff000);
	}
}

static void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static uint64_t cr4(void)
{
	uint64_t value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

/* The nested guest's own tables, in pages of 1G: the first ones, and one in each 512G. */
static uint64_t nested_guest_root(void)
{
	uint64_t *root = new_table();

	for (uint64_t va = 0; va < 8 * GIGA; va += GIGA)
		*entry(root, va, 3) = va | PWU | PS;
	for (uint64_t va = SLOT; va < 8 * SLOT; va += SLOT)
		*entry(root, va, 3) = va | PWU | PS;
	return (uint64_t)root;
}

static void vmcb_init(void)
{
	const struct segment code = { 8, 0xa9b, ~0u, 0 }, data = { 16, 0xc93, ~0u, 0 };

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME | EFER_NXE);
	wrmsr(MSR_VM_HSAVE_PA, (uint64_t)host_save);
	vmcb.intercept_exceptions = ~0u;
	vmcb.intercept_3 = INTERCEPT_HLT | INTERCEPT_SHUTDOWN;
	vmcb.intercept_4 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL;
	vmcb.asid = 1;
	vmcb.np_enable = 1;
	vmcb.n_cr3 = (uint64_t)nested_root;
	vmcb.cs = code;
	vmcb.ss = vmcb.ds = vmcb.es = data;
	vmcb.efer = EFER_SVME | EFER_LME | EFER_LMA | EFER_NXE;
	vmcb.cr0 = 0x80010033;
	vmcb.cr4 = cr4();
	vmcb.cr3 = nested_guest_root();
	vmcb.dr6 = 0xffff0ff0;
	vmcb.dr7 = 0x400;
	vmcb.rflags = 2;
	vmcb.g_pat = 0x0007040600070406;
}

enum operation { READ, STORE, FETCH };
static const char *const names[] = { "user-read", "user-write", "user-fetch" };

struct answer {
	uint64_t exit_code, info_1, info_2, frame;
};

/* 15.25.5: every access of the nested guest is a user's; 15.25.6: EXITINFO1. */
static struct answer judge(unsigned is, enum operation operation, uint64_t gpa, uint64_t frame)
{
	uint64_t error = 1ull << 32 | US | (operation == STORE ? 2 : 0) |
			 (operation == FETCH ? 16 : 0);

	if (is & ABSENT)
		return (struct answer){ EXIT_NPF, error, gpa, 0 };
	if (is & RESERVED)
		return (struct answer){ EXIT_NPF, error | P | 8, gpa, 0 };
	if (is & DENIED || (operation == STORE && !(is & WRITE)) ||
	    (operation == FETCH && !(is & EXEC)))
		return (struct answer){ EXIT_NPF, error | P, gpa, 0 };
	return (struct answer){ EXIT_VMMCALL, 0, 0, frame };
}

static uint64_t holding(uint64_t token)
{
	for (uint64_t pa = DATA; pa < PAINTED_END; pa += FRAME)
		if (*(volatile uint64_t *)pa == token) {
			paint(pa);
			return pa;
		}
	return 0;
}

static struct answer observe(enum operation operation, uint64_t gpa)
{
	static const uint8_t *const codes[] = { nested_load, nested_store, nested_jump };
	static uint64_t token = 0x7074000000000000;

	token += 2;
	vmcb.rip = (uint64_t)codes[operation];
	vmcb.tlb_control = 1;		/* flush all, 15.16.2 */
	vmcb.exit_info_1 = vmcb.exit_info_2 = 0;
	vmrun(&vmcb, gpa, token);
	if (vmcb.exit_code != EXIT_VMMCALL)
		return (struct answer){ vmcb.exit_code, vmcb.exit_info_1, vmcb.exit_info_2, 0 };
	return (struct answer){ EXIT_VMMCALL, 0, 0,
				operation == READ  ? named(vmcb.rax) :
				operation == FETCH ? vmcb.rax :
						     holding(token) };
}

static void probe(const char *name, uint64_t gpa, uint64_t frame, unsigned is)
{
	for (enum operation operation = READ; operation <= FETCH; operation++) {
		struct answer want = judge(is, operation, gpa, frame);
		struct answer saw = observe(operation, gpa);

		probes++;
		say("probe %s %x %s %x %x %x %x\n", name, gpa, names[operation], saw.exit_code,
		    saw.info_1, saw.info_2, saw.frame);
		if (want.exit_code == saw.exit_code && want.info_1 == saw.info_1 &&
		    want.info_2 == saw.info_2 && want.frame == saw.frame)
			continue;
		/* TCG leaves P out of the error code of a reserved-bit fault. */
		if (want.info_1 & 8 && saw.info_1 == (want.info_1 & ~1ull)) {
			quirks++;
			continue;
		}
		differences++;
		say("differs: expected %x %x %x %x\n", want.exit_code, want.info_1, want.info_2,
		    want.frame);
	}
}

static uint64_t data(unsigned n)
{
	return DATA + n * FRAME;
}

/* A page at the start of region n, with these flags in its entry and in those above. */
static void page(const char *name, unsigned n, uint64_t flags, uint64_t above, unsigned is)
{
	uint64_t gpa = REGION + n * SIZE_2M;

	*entry(nested_root, gpa, 1) = data(n) | flags;
	*entry(nested_root, gpa, 2) = (*entry(nested_root, gpa, 2) & ~(uint64_t)PWU) | above;
	probe(name, gpa, data(n), is);
}

static void large(const char *name, unsigned n, uint64_t flags, unsigned is)
{
	uint64_t gpa = REGION + n * SIZE_2M;

	*entry(nested_root, gpa, 2) = LARGE | flags | PS;
	probe(name, gpa + 5 * FRAME, LARGE + 5 * FRAME, is);
}

/* A page at 0x5000 of slot n, with the entry of level 4 changed. */
static void far(const char *name, unsigned n, uint64_t set, uint64_t clear, unsigned is)
{
	uint64_t gpa = n * SLOT + 5 * FRAME;

	*entry(nested_root, gpa, 1) = data(20 + n) | PWU;
	*entry(nested_root, gpa, 4) = (*entry(nested_root, gpa, 4) & ~clear) | set;
	probe(name, gpa, data(20 + n), is);
}

static void cases(void)
{
	page("all", 0, PWU, PWU, ALL);
	page("npte-read-only", 1, P | US, PWU, EXEC);
	page("npte-supervisor", 2, P | RW, PWU, DENIED);
	page("npte-xd", 3, PWU | XD, PWU, WRITE);
	page("npde-read-only", 4, PWU, P | US, EXEC);
	page("npde-supervisor", 5, PWU, P | RW, DENIED);
	page("npde-xd", 6, PWU, PWU | XD, WRITE);
	page("npte-absent", 7, RW | US | XD, PWU, ABSENT);
	page("npde-absent", 8, PWU, 0, ABSENT);
	page("npte-bit-51", 9, PWU | 1ull << 51, PWU, RESERVED);
	page("npte-key-bits", 10, PWU | 0xfull << 59, PWU, ALL);

	large("2m", 11, PWU, ALL);
	large("2m-read-only", 12, P | US, EXEC);
	large("2m-bit-13", 13, PWU | 1 << 13, RESERVED);

	/* Regions of 1G: a page, one that is read-only, a reserved bit, nothing, and a right less. */
	*entry(nested_root, 2 * GIGA, 3) = PWU | PS;
	probe("1g", 2 * GIGA + data(20), data(20), ALL);
	*entry(nested_root, 3 * GIGA, 3) = P | US | PS;
	probe("1g-read-only", 3 * GIGA + data(21), data(21), EXEC);
	*entry(nested_root, 4 * GIGA, 3) = PWU | PS | 1 << 20;
	probe("1g-bit-20", 4 * GIGA + data(22), 0, RESERVED);
	probe("npdpte-absent", 5 * GIGA, 0, ABSENT);
	*entry(nested_root, 6 * GIGA, 1) = data(23) | PWU;
	*entry(nested_root, 6 * GIGA, 3) &= ~(uint64_t)US;
	probe("npdpte-supervisor", 6 * GIGA, data(23), DENIED);

	far("beyond-512g", 1, 0, 0, ALL);
	far("npml4e-absent", 2, 0, P, ABSENT);
	far("npml4e-ps", 3, PS, 0, RESERVED);
	far("npml4e-rights", 4, XD, RW, 0);
	far("npml4e-supervisor", 5, 0, US, DENIED);
}

/* Where the nested guest's own table is not mapped, EXITINFO1 says so: bit 33, and a user write. */
static void guest_table(void)
{
	uint64_t cr3 = vmcb.cr3, lost = REGION + 20 * SIZE_2M;
	struct answer saw;

	vmcb.cr3 = lost;
	saw = observe(READ, DATA);
	vmcb.cr3 = cr3;
	say("table %x %x %x %x\n", lost, saw.exit_code, saw.info_1, saw.info_2);
}

_Noreturn void start(void *start_info, int with_levels)
{
	(void)start_info;
	levels = with_levels;
	segments_init();
	traps_init();
	for (uint64_t pa = DATA; pa < PAINTED_END; pa += FRAME)
		paint(pa);
	nested_root = new_table();
	vmcb_init();
	/* What the nested guest itself needs, by the addresses that it has here. */
	for (uint64_t pa = 0; pa < DATA; pa += SIZE_2M)
		*entry(nested_root, pa, 2) = pa | PWU | PS;
	cases();
	guest_table();
	say("svm: levels=%x ncr3=%x probes=%x differences=%x quirks=%x\n", (uint64_t)levels,
	    (uint64_t)nested_root, (uint64_t)probes, (uint64_t)differences, (uint64_t)quirks);
	park();
}
