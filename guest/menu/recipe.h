/*
 * The words in which a chapter writes its lines.  A line reads: this name; at this level, for
 * this address, this entry; the byte that an allowed access reaches; and for each kind of access
 * what must happen, and why.  Nothing here or elsewhere computes an expectation from the tables:
 * the author reads SDM vol. 3A 4.6 and 4.7 and writes it down.
 */
#ifndef RECIPE_H
#define RECIPE_H

#include <stdbool.h>

#include "cpu.h"
#include "layout.h"
#include "menu.h"
#include "tables.h"

/*
 * Why an access is refused, hence the error code (menu.c turns these into numbers).  Where two
 * reasons hold, the one that is written decides the code: KEY before the others, RSVD before all.
 */
enum reason {
	OK,		/* allowed */
	ABSENT,		/* #PF, P = 0 */
	RO,		/* #PF: some R/W on the path is 0 (CR0.WP = 1 holds for ring 0 too) */
	SUPER,		/* #PF: ring 3, and some U/S on the path is 0 */
	NOEXEC,		/* #PF: some XD on the path is 1 */
	SMAP,		/* #PF, or allowed by a CPU without SMAP */
	SMEP,		/* #PF, or allowed by a CPU without SMEP */
	KEY,		/* #PF, PK = 1: the protection key forbids it */
	RSVD,		/* #PF, RSVD = 1: a reserved bit is set on the path */
	NONCANON,	/* #GP(0) */
	NO_ASK,		/* not asked; .why says why */
};

struct recipe {
	const char *name;
	enum level level;
	uint64_t va;
	uint64_t entry;		/* what lies beneath a table entry is added, see over and shares */
	uint64_t reach;		/* physical address of the byte */
	enum reason expect[ACCESS_KINDS];	/* in the order of enum access */

	struct {		/* the leaf beneath, if the entry is one of a table */
		enum level level;
		uint64_t entry;
	} over;
	uint64_t shares;	/* instead: the table that the entry of this address refers to */
	bool recursive;		/* instead: the root */

	bool bit_maxphyaddr;	/* bit MAXPHYADDR of the entry is set as well: reserved */
	bool bit_highest;	/* bit MAXPHYADDR - 1 of entry and reach is set as well: legal */
	struct {		/* reach is the entry of this address at this level; */
		enum level level;
		uint64_t va;	/* it is not used otherwise, and is painted */
	} reach_entry;
	uint32_t needs;		/* enum feature: without them the line is left out */
	uint32_t flags;		/* MENU_... */
	const char *why;
};

struct chapter {
	const char *title;
	const struct recipe *lines;
	uint32_t count;
};

#define CHAPTER(symbol, title_, lines_)                                   \
	const struct chapter symbol = { .title = (title_), .lines = (lines_), \
					.count = sizeof(lines_) / sizeof(lines_[0]) }

/* Bits of an entry, short, since there are many. */
#define P   ENTRY_P
#define RW  ENTRY_RW
#define US  ENTRY_US
#define PWT ENTRY_PWT
#define PCD ENTRY_PCD
#define A   ENTRY_A
#define D   ENTRY_D
#define PS  ENTRY_PS
#define PAT ENTRY_PAT
#define G   ENTRY_G
#define XD  ENTRY_XD
#define PAT_BIG ENTRY_PAT_BIG
#define PK(key) ((uint64_t)(key) << 59)
#define BIT(n)	(1ull << (n))

/* All rights, accessed and dirty: what restrictive entries are put over. */
#define OPEN_4K (P | RW | US | A | D)
#define OPEN_BIG (OPEN_4K | PS)
#define OPEN_TABLE (P | RW | US | A)
#define OVER(level, entry) { level, entry }
#define ENTRY_OF(va, level) { level, va }

/* Frames, by number. */
#define F4K(n) (FRAMES_4K + (n) * SIZE_4K)
#define F2M(n) (FRAMES_2M + (n) * SIZE_2M)

/* Addresses with an entry of their own at that level, by number; no index above it is 0. */
#define PTE_VA(n)   (0x0000008080600000ull + (n) * SIZE_4K)
#define PDE_VA(n)   (0x0000010140000000ull + (n) * SIZE_2M)
#define PDPTE_VA(n) (0x0000018000000000ull + (n) * SIZE_1G)
#define PML4E_VA(n) ((16ull + (n)) << 39)
#define PML5E_VA(n) ((16ull + (n)) << 48)

#endif
