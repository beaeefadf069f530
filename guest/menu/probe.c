/* The guest asks its own MMU: each kind of access, executed, on each line. */
#include "probe.h"

#include <stdbool.h>

#include "console.h"
#include "cpu.h"
#include "frames.h"
#include "layout.h"
#include "menu.h"

enum operation { READ, WRITE, FETCH };
enum ring { RING0 = 0, RING3 = 3 };

static const struct kind {
	const char *name;
	enum ring ring;
	enum operation operation;
	uint64_t rflags;
} kinds[ACCESS_KINDS] = {
	[SUPER_READ]	 = { "supervisor read", RING0, READ, RFLAGS_ONE },
	[SUPER_WRITE]	 = { "supervisor write", RING0, WRITE, RFLAGS_ONE },
	[SUPER_FETCH]	 = { "supervisor fetch", RING0, FETCH, RFLAGS_ONE },
	[SUPER_READ_AC]	 = { "supervisor read AC", RING0, READ, RFLAGS_ONE | RFLAGS_AC },
	[SUPER_WRITE_AC] = { "supervisor write AC", RING0, WRITE, RFLAGS_ONE | RFLAGS_AC },
	[USER_READ]	 = { "user read", RING3, READ, RFLAGS_ONE },
	[USER_WRITE]	 = { "user write", RING3, WRITE, RFLAGS_ONE },
	[USER_FETCH]	 = { "user fetch", RING3, FETCH, RFLAGS_ONE },
};

enum { ERROR_P = 1 << 0, ERROR_RSVD = 1 << 3 };

struct shot {
	uint64_t vector, error, cr2, rax;
};

extern const uint8_t probe_page[], probe_load[], probe_load32[], probe_store[], probe_jump[],
	probe_return[];
void probe_run(struct shot *shot, uint64_t va, uint64_t value, uint64_t code, uint64_t back,
	       uint64_t rflags);

/* A value never written before; bit 0 clear, since it may land in a paging structure. */
static uint64_t new_token(void)
{
	static uint64_t count;

	return 0x70746c6976650000 + (count += 2);
}

static uint64_t user_address(const uint8_t *code)
{
	return USER_PROBE_VA + (uint64_t)(code - probe_page);
}

static struct shot execute(const struct menu_line *line, const struct kind *kind, uint64_t value)
{
	const uint8_t *const codes[] = {
		[READ] = line->flags & MENU_DEVICE ? probe_load32 : probe_load,
		[WRITE] = probe_store,
		[FETCH] = probe_jump,
	};
	const uint8_t *code = codes[kind->operation];
	struct shot shot;

	/* The accesses before this one may have set A and D. */
	if (line->level)
		*(volatile uint64_t *)line->entry_pa = line->entry;
	invlpg(line->va);
	if (kind->ring == RING3)
		probe_run(&shot, line->va, value, user_address(code), user_address(probe_return),
			  kind->rflags);
	else
		probe_run(&shot, line->va, value, (uint64_t)code, 0, kind->rflags);
	return shot;
}

/* The version register of a local APIC reads 1xH in its low byte (SDM vol. 3A, Local APIC). */
static bool is_apic_version(uint64_t value)
{
	return (value & 0xf0) == 0x10;
}

/* Which frame an allowed access reached, from what it brought back or left behind. */
static uint64_t proof(const struct menu_line *line, const struct kind *kind,
		      const struct shot *shot, uint64_t value)
{
	uint64_t pa;

	if (line->flags & MENU_NO_PROOF)
		return 0;
	if (line->flags & MENU_DEVICE)
		return is_apic_version(shot->rax) ? line->expected[SUPER_READ].frame : NO_FRAME;
	switch (kind->operation) {
	case READ:
		return frame_named(shot->rax);
	case FETCH:
		return shot->rax;
	case WRITE:
		pa = frame_holding(value, line->va & (SIZE_4K - 1));
		if (pa != NO_FRAME)
			frame_paint(pa);
		return pa;
	}
	return NO_FRAME;
}

static struct answer observe(const struct menu_line *line, const struct kind *kind)
{
	uint64_t value = new_token();
	struct shot shot = execute(line, kind, value);

	/* Nobody expects vector 0xfe: it makes a page fault at some other address a difference. */
	if (shot.vector == ANSWER_PF && shot.cr2 != line->va)
		return (struct answer){ .vector = 0xfe, .frame = shot.cr2 };
	if (shot.vector)
		return (struct answer){ .vector = shot.vector, .error = shot.error };
	return (struct answer){ .frame = proof(line, kind, &shot, value) };
}

static bool same(const struct menu_line *line, const struct answer *e, const struct answer *o)
{
	if (e->vector != o->vector || e->error != o->error)
		return false;
	return e->frame == o->frame || line->flags & MENU_NO_PROOF;
}

/* TCG leaves P out of the error code of a reserved-bit fault (README.md, "Quirks"). */
static bool is_quirk(const struct answer *e, const struct answer *o)
{
	return e->vector == ANSWER_PF && o->vector == ANSWER_PF && e->error & ERROR_RSVD &&
	       o->error == (e->error & ~(uint32_t)ERROR_P);
}

static void say_answer(const char *who, const struct answer *a)
{
	if (a->vector == ANSWER_ALLOWED)
		say(" %s frame %x", who, a->frame);
	else
		say(" %s vector %u error %x (%x)", who, a->vector, (uint64_t)a->error, a->frame);
}

static void probe(struct menu_line *line, enum access access)
{
	const struct answer *expected = &line->expected[access];
	struct answer *observed = &line->observed[access];

	if (expected->vector == ANSWER_NOT_ASKED) {
		*observed = *expected;
		if (!line->why[0])
			stop("a line does not say why it is not asked");
		return;
	}
	*observed = observe(line, &kinds[access]);
	menu_result.probes++;
	if (same(line, expected, observed))
		return;
	if (is_quirk(expected, observed)) {
		menu_result.quirks++;
		return;
	}
	menu_result.differences++;
	say("differs: %s, %s at %x:", line->name, kinds[access].name, line->va);
	say_answer("expected", expected);
	say_answer(", observed", observed);
	say("\n");
}

void probe_all(void)
{
	for (uint32_t i = 0; i < menu_count; i++)
		for (int access = 0; access < ACCESS_KINDS; access++)
			probe(&menu[i], access);
}
