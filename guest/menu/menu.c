/* Turns the chapters into live entries and into menu[]. */
#include "menu.h"

#include "build.h"
#include "chapters.h"
#include "console.h"
#include "cpu.h"
#include "frames.h"

enum { LINES_MAX = 224 };

/* Error code bits, SDM vol. 3A 4.7. */
enum { E_P = 1 << 0, E_W = 1 << 1, E_U = 1 << 2, E_RSVD = 1 << 3, E_I = 1 << 4, E_PK = 1 << 5 };

/* The half of the code that tells the access, whatever refused it. */
static const uint32_t access_bits[ACCESS_KINDS] = {
	[SUPER_READ] = 0,
	[SUPER_WRITE] = E_W,
	[SUPER_FETCH] = E_I,
	[SUPER_READ_AC] = 0,
	[SUPER_WRITE_AC] = E_W,
	[USER_READ] = E_U,
	[USER_WRITE] = E_U | E_W,
	[USER_FETCH] = E_U | E_I,
};

/* The other half, which tells the reason. */
static const uint32_t reason_bits[] = {
	[ABSENT] = 0,
	[RO] = E_P,
	[SUPER] = E_P,
	[NOEXEC] = E_P,
	[SMAP] = E_P,
	[SMEP] = E_P,
	[KEY] = E_P | E_PK,
	[RSVD] = E_P | E_RSVD,
};

static const struct chapter *const chapters[] = {
	&chapter_4k,	 &chapter_keys,	  &chapter_large,   &chapter_upper,	&chapter_absent,
	&chapter_reserved, &chapter_shared, &chapter_outside, &chapter_canonical,
};

struct menu_line menu[LINES_MAX];
uint32_t menu_count;
struct menu_result menu_result;

static struct answer answer(enum reason reason, enum access access, uint64_t reach)
{
	/* I (bit 4) is there because EFER.NXE or CR4.SMEP is; without both it stays 0. */
	uint32_t bits = access_bits[access];

	if (!(cpu.has & (HAS_NX | HAS_SMEP)))
		bits &= ~(uint32_t)E_I;
	if ((reason == SMAP && !(cpu.has & HAS_SMAP)) || (reason == SMEP && !(cpu.has & HAS_SMEP)))
		reason = OK;
	switch (reason) {
	case OK:
		return (struct answer){ .vector = ANSWER_ALLOWED, .frame = reach };
	case NO_ASK:
		return (struct answer){ .vector = ANSWER_NOT_ASKED };
	case NONCANON:
		return (struct answer){ .vector = ANSWER_GP };
	default:
		return (struct answer){ .vector = ANSWER_PF, .error = bits | reason_bits[reason] };
	}
}

static void copy_text(char (*to)[64], const char *from)
{
	unsigned n = 0;

	for (; from && from[n]; n++) {
		if (n == sizeof(*to) - 1)
			stop("a text is too long");
		(*to)[n] = from[n];
	}
}

/* Plants the entries of one recipe; returns the address of the one that the line is about. */
static uint64_t plant(const struct recipe *r)
{
	uint64_t entry = r->entry, *place;

	if (r->level == NO_LEVEL)
		return 0;
	if (r->bit_maxphyaddr)
		entry |= BIT(cpu.maxphyaddr);
	if (r->bit_highest)
		entry |= BIT(cpu.maxphyaddr - 1);
	if (r->recursive)
		entry |= tables_root();
	if (r->shares)
		entry |= *tables_entry(r->shares, r->level) & ENTRY_ADDRESS;
	if (!r->over.level)
		return (uint64_t)tables_put(r->va, r->level, entry);

	/* First the leaf, under open tables; then the one above it is closed. */
	tables_put(r->va, r->over.level, r->over.entry);
	place = tables_entry(r->va, r->level);
	*place = entry | (*place & ENTRY_ADDRESS);
	return (uint64_t)place;
}

static uint64_t reach(const struct recipe *r)
{
	uint64_t *unused;

	if (r->bit_highest)
		return r->reach | BIT(cpu.maxphyaddr - 1);
	if (!r->reach_entry.level)
		return r->reach;
	unused = tables_entry(r->reach_entry.va, r->reach_entry.level);
	frame_paint((uint64_t)unused);
	return (uint64_t)unused;
}

static void add(const struct recipe *r)
{
	struct menu_line *line = &menu[menu_count++];
	uint64_t to;

	copy_text(&line->name, r->name);
	copy_text(&line->why, r->why);
	line->va = r->va;
	line->level = r->level;
	line->flags = r->flags;
	line->entry_pa = plant(r);
	line->entry = line->entry_pa ? *(uint64_t *)line->entry_pa : 0;
	to = reach(r);
	for (int access = 0; access < ACCESS_KINDS; access++)
		line->expected[access] = answer(r->expect[access], access, to);
}

void menu_build(void)
{
	for (unsigned c = 0; c < sizeof(chapters) / sizeof(chapters[0]); c++) {
		uint32_t left_out = 0;

		for (uint32_t i = 0; i < chapters[c]->count; i++) {
			const struct recipe *r = &chapters[c]->lines[i];

			if (menu_count == LINES_MAX)
				stop("LINES_MAX is too small");
			if ((r->needs & cpu.has) == r->needs)
				add(r);
			else
				left_out++;
		}
		say("chapter: %s, %u lines", chapters[c]->title, chapters[c]->count - left_out);
		if (left_out)
			say(" (%u left out: this CPU or mode lacks what they need)", left_out);
		say("\n");
	}
}
